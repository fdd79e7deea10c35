import subprocess
import sys

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import tiny
from hpof_jax import downloads
from hpof_jax import reconstruct as reconstruct_module
from hpof_jax.body import load_body
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.weights import save_weights
from hpof_jax.motion import Motion


@pytest.fixture(scope="module")
def weights():
    config = tiny.get_config().model
    return init_params(make_model(config), load_body(), 0), config


def command(*args):
    done = subprocess.run(
        [sys.executable, "-m", "hpof_jax.reconstruct", *map(str, args)], capture_output=True, text=True
    )
    return done.returncode, done.stderr.strip().splitlines()


def test_a_missing_checkpoint_ends_the_program_with_one_sentence(tmp_path):
    status, lines = command("clip.mp4", "--out", tmp_path / "out", "--weights", tmp_path / "nothing")
    assert status == 2
    assert len(lines) == 1 and lines[0].startswith("error: There are no weights at")
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
    save_weights(tmp_path / "weights.npz", weights[0], config)
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
def test_the_sample_video_with_the_packages_weights(tmp_path):
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
