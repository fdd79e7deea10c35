import dataclasses
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import tiny
from hpof_jax import downloads
from hpof_jax import reconstruct as reconstruct_module
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_MIRROR, SMPL_MIRROR
from hpof_jax.errors import UserError
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations
from hpof_jax.reconstruct import lift
from hpof_jax.training import checkpoint, state


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def weights(body):
    config = tiny.get_config().model
    params = state.init_params(state.make_model(config), body, 0)
    rng = np.random.default_rng(0)
    noisy = jax.tree.map(lambda x: np.asarray(x) + 0.05 * rng.normal(size=x.shape).astype(np.float32), params)
    return noisy, config


@pytest.fixture(scope="module")
def observations():
    """A standing person who sways, as landmarks; frames 10 to 14 were not seen."""
    frames, rng = 31, np.random.default_rng(1)
    middle = np.array([640, 360]) + np.stack([30 * np.sin(np.arange(frames) / 9), np.zeros(frames)], axis=-1)
    around = rng.normal(0, [60, 150], (33, 2))
    seen = np.ones(frames, bool)
    seen[10:15] = False
    landmarks = np.concatenate([middle[:, None] + around, np.full((frames, 33, 1), 0.9)], axis=-1)
    return Observations(
        landmarks_2d=(landmarks * seen[:, None, None]).astype(np.float32),
        landmarks_3d=(np.tile(rng.normal(0, 0.3, (33, 3)), (frames, 1, 1)) * seen[:, None, None]).astype(
            np.float32
        ),
        seen=seen,
        image_size=np.array([720, 1280], np.float32),
        focal_length=np.float32(1469.0),
        fps=np.float32(30.0),
    )


def test_a_clip_becomes_a_motion(observations, weights, body):
    motion = lift(observations, weights, body)
    assert len(motion) == len(observations)
    assert motion.betas.shape == (10,), "one shape a clip"
    np.testing.assert_array_equal(motion.frame_index, np.arange(31))
    np.testing.assert_allclose(motion.joints[:, 0], motion.trans + np.asarray(body.J_template[0]), atol=5e-3)
    assert motion.trans[:, 2].min() > 0.5, "in front of the camera"
    assert motion.confidence[10:15].max() <= 0.5 < motion.confidence[:10].min(), "a filled gap is less sure"


def test_the_mirrored_video_gives_the_mirrored_motion(observations, weights, body):
    mirrored = observations.landmarks_2d[:, BLAZEPOSE_MIRROR].copy()
    mirrored[observations.seen, :, 0] = 1280 - mirrored[observations.seen, :, 0]
    other = dataclasses.replace(
        observations,
        landmarks_2d=mirrored,
        landmarks_3d=observations.landmarks_3d[:, BLAZEPOSE_MIRROR] * np.array([-1, 1, 1], np.float32),
    )
    a, b = lift(observations, weights, body), lift(other, weights, body)
    flip = np.array([-1, 1, 1])
    np.testing.assert_allclose(b.pose, a.pose[:, SMPL_MIRROR] * np.array([1, -1, -1]), atol=1e-4)
    np.testing.assert_allclose(
        b.joints, a.joints[:, SMPL_MIRROR] * flip, atol=0.02
    )  # the body is not quite even


def test_swaps_of_left_and_right_are_undone_first(observations, weights, body):
    confused = {}
    for name in ("landmarks_2d", "landmarks_3d"):
        confused[name] = getattr(observations, name).copy()
        confused[name][18:25] = confused[name][18:25, BLAZEPOSE_MIRROR]
    confused = dataclasses.replace(observations, **confused)
    truth, undone = lift(observations, weights, body), lift(confused, weights, body)
    np.testing.assert_array_equal(undone.poses, truth.poses)
    np.testing.assert_array_equal(undone.keypoints_2d, truth.keypoints_2d)
    kept = lift(confused, weights, body, undo_swaps=False)
    np.testing.assert_array_equal(kept.keypoints_2d, confused.landmarks_2d)
    assert np.abs(kept.poses - truth.poses).max() > 0.01


def test_the_videos_frame_rate_is_respected(observations, weights, body):
    """Every frame shown twice at 60 fps is the same motion, at 60 fps."""
    at_30 = lift(observations, weights, body)
    frames = np.arange(61) / 2
    lower, upper = np.floor(frames).astype(int), np.ceil(frames).astype(int)

    def between(values):
        return ((values[lower] + values[upper]) / 2).astype(np.float32)

    seen = observations.seen[lower] & observations.seen[upper]
    doubled = dataclasses.replace(
        observations,
        landmarks_2d=between(observations.landmarks_2d) * seen[:, None, None],
        landmarks_3d=between(observations.landmarks_3d) * seen[:, None, None],
        seen=seen,
        fps=np.float32(60.0),
    )
    at_60 = lift(doubled, weights, body)
    assert len(at_60) == 61 and at_60.mocap_framerate == 60
    np.testing.assert_allclose(at_60.poses[::2], at_30.poses, atol=1e-3)
    np.testing.assert_allclose(at_60.trans[::2], at_30.trans, rtol=0.03, atol=0.03)


def test_weights_of_another_model_are_refused(observations, weights, body):
    params, config = weights
    other = ConfigDict({**config.to_dict(), "hidden": 24})
    with pytest.raises(UserError, match="another config"):
        lift(observations, (params, other), body)


def command(*args):
    done = subprocess.run(
        [sys.executable, "-m", "hpof_jax.reconstruct", *map(str, args)], capture_output=True, text=True
    )
    return done.returncode, done.stderr.strip().splitlines()


def test_a_missing_checkpoint_ends_the_program_with_one_sentence(tmp_path):
    status, lines = command("clip.mp4", "--out", tmp_path / "out", "--weights", tmp_path / "nothing")
    assert status == 2
    assert len(lines) == 1 and lines[0].startswith("error: There is no checkpoint at")
    assert not (tmp_path / "out").exists()


def _blank_video(path):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (320, 240))
    for _ in range(3):
        writer.write(np.full((240, 320, 3), 90, np.uint8))
    writer.release()


@pytest.mark.network
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("no video"), "video"),
        (lambda path: path.mkdir(), "image"),
        (_blank_video, "no person"),
    ],
)
def test_wrong_input_ends_with_one_sentence(tmp_path, weights, make, sentence, monkeypatch, capsys):
    path, out = tmp_path / "input.avi", tmp_path / "above" / "out"
    make(path)
    config = ConfigDict({"model": weights[1]})
    checkpoint.save_weights(tmp_path / "weights.npz", weights[0], config)
    monkeypatch.setattr(
        sys, "argv", ["reconstruct", str(path), "--out", str(out), "--weights", str(tmp_path / "weights.npz")]
    )
    with pytest.raises(SystemExit) as stop:
        reconstruct_module.main()
    assert stop.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and sentence in error[0]
    assert not out.parent.exists()


def test_only_a_folder_that_was_made_for_nothing_is_taken_away(tmp_path):
    def fail(out, *files):
        with pytest.raises(ValueError, match="no person"), reconstruct_module._folder(out) as folder:
            for name in files:
                (folder / name).touch()
            raise ValueError("no person")
        return out.exists()

    assert not fail(tmp_path / "new")
    assert fail(tmp_path / "kept", "motion.npz")
    assert fail(tmp_path)


@pytest.mark.network
def test_the_sample_video_with_the_packages_weights(tmp_path, body):
    motion = reconstruct_module.reconstruct(None, tmp_path, max_frames=12, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motion.npz", "overlay.mp4"]
    again = Motion.load(tmp_path / "motion.npz")
    np.testing.assert_array_equal(again.poses, motion.poses)
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    # The man stands on a roof: his head is over his feet, and the body's joints lie on his landmarks.
    assert (motion.joints[:, 15, 1] < motion.joints[:, 7, 1] - 1.0).all()
    height, width = motion.image_size
    pixels = (
        motion.joints[..., :2] / motion.joints[..., 2:] * motion.focal_length + np.array([width, height]) / 2
    )
    knees, ankles = pixels[:, [4, 5, 7, 8]], motion.keypoints_2d[:, [25, 26, 27, 28], :2]
    assert np.median(np.linalg.norm(knees - ankles, axis=-1) / motion.box[:, None, 2]) < 0.08


@pytest.mark.network
def test_a_webcam_is_recorded_first(tmp_path, monkeypatch):
    sample, capture = str(downloads.fetch("sample_video")), cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: capture(sample if source == 0 else source))
    motion = reconstruct_module.reconstruct("0", tmp_path, max_frames=5, progress=False)
    assert len(motion) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motion.npz", "overlay.mp4", "recording.mp4"]
