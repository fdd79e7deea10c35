import hashlib
import json
import os
import signal
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
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.weights import save_weights
from hpof_jax.motion import Motion
from hpof_jax.observe import clip
from hpof_jax.reconstruction import observing
from tests.reconstruction.conftest import observed, three_people

pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with the weights of a tiny model."""
    config, path = tiny.get_config().model, tmp_path_factory.mktemp("weights") / "weights.npz"
    save_weights(path, init_params(make_model(config), load_body(), 0), ConfigDict({"model": config}))
    return path


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
    monkeypatch.setattr(sys, "argv", ["reconstruct", str(path), "--out", str(out), "--weights", str(weights)])
    with pytest.raises(SystemExit) as stop:
        reconstruct_module.main()
    assert stop.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and sentence in error[0]
    assert not out.parent.exists()


def test_weights_without_image_features_are_told_before_the_video_is_read():
    with pytest.raises(UserError, match="These weights take no image features: leave out --features, or"):
        reconstruct_module.reconstruct("no_such_video.mp4", features="resnet50.pth")


@pytest.fixture
def made_up(monkeypatch):
    """In place of observing a video: 50 frames, the last two of which show a person."""
    shown_late = observed(seen=np.arange(50) >= 48, shots=np.array([0, 15]))
    monkeypatch.setattr(clip, "observe", lambda *args, **kwargs: shown_late)


def test_the_report_has_what_the_motion_was_made_with_and_nothing_is_logged_twice(
    made_up, tmp_path, weights, caplog
):
    options = dict(weights=weights, overlay=False, refine="off")
    with caplog.at_level("INFO"):
        motion = reconstruct_module.reconstruct("clip.mp4", tmp_path / "out", min_seen=0, fov=90.0, **options)
    assert len(motion) == 50 and motion.focal_length == pytest.approx(640)
    assert len(set(caplog.messages)) == len(caplog.messages)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (
        caplog.messages[-1] == f"{len(report['warnings'])} warnings; see {tmp_path / 'out' / 'report.html'}"
    )
    assert report["coverage"] == {"seen_share": 0.04, "gaps": [[0, 47]], "cuts": [15]}
    assert report["camera"]["why"] == "given by the user"
    assert report["camera"]["motion"] == "it stands still"
    made_with = report["made_with"]
    assert made_with["options"]["fov"] == 90.0 and made_with["options"]["focal_length"] is None
    assert made_with["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_a_person_seen_in_few_frames_leaves_no_folder(made_up, tmp_path, weights):
    with pytest.raises(UserError, match="seen in only 2 of 50 frames, less than 10 %: "):
        reconstruct_module.reconstruct("clip.mp4", tmp_path / "out", weights=weights)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_names_the_fit(tmp_path, weights, monkeypatch):
    square = np.tile(np.float32([[400, 0, 440], [0, 400, 160]]), (50, 1, 1))
    masks = dict(masks=np.full((50, 64, 64), 255, np.uint8), mask_to_frame=square)
    monkeypatch.setattr(clip, "observe", lambda *args, **options: observed(np.ones(50, bool), **masks))
    options = dict(weights=weights, overlay=False, progress=False)
    motion = reconstruct_module.reconstruct("clip.mp4", tmp_path / "out", refine="fast", **options)
    assert len(motion) == 50 and np.isfinite(motion.joints).all()
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["fit"] == "the network's answer was fitted to landmarks and masks"
    assert report["made_with"]["options"]["refine"] == "fast"
    assert report["fit"].replace("'", "&#x27;") in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )


def test_everybody_gets_a_file_and_all_are_in_one_scene(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(observing, "observe_everybody", lambda *args, **kwargs: three_people())
    options = dict(weights=weights, overlay=False, export="glb", person="all", refine="off")
    motions = reconstruct_module.reconstruct("clip.mp4", tmp_path / "out", **options)
    assert [motion.frame_index[0] for motion in motions] == [0, 7]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"motion_1.npz", "motion_2.npz", "people.glb", "report_1.html", "report_2.html"} <= names
    np.testing.assert_array_equal(
        Motion.load(tmp_path / "out" / "motion_2.npz").frame_index, np.arange(7, 27)
    )


def test_files_for_other_programs_are_written_beside_the_motion(made_up, tmp_path, weights):
    options = dict(weights=weights, overlay=False, min_seen=0, refine="off")
    reconstruct_module.reconstruct("clip.mp4", tmp_path / "out", export="glb,bvh", **options)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["motion.bvh", "motion.glb", "motion.npz", "report.html", "report.json"]


@pytest.mark.network
@pytest.mark.parametrize(
    ("moment", "left"),
    [("The focal length is", None), ("motion.npz", ["motion.npz"])],
    ids=["lifting", "overlay"],
)
def test_ctrl_c_leaves_nothing_half_written(tmp_path, moment, left):
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # else the program inherits an ignored one
    command = [sys.executable, "-m", "hpof_jax.reconstruct", "--out", tmp_path / "out", "--max-frames", "30"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        signal.signal(signal.SIGINT, before)
        for line in program.stderr:
            if moment in line:
                break
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        rest = program.stderr.read()
    assert program.returncode == 130 and rest.splitlines() == ["Stopped."]
    folder = tmp_path / "out"
    assert (sorted(path.name for path in folder.iterdir()) if folder.exists() else None) == left


@pytest.mark.network
def test_the_sample_video_with_the_packages_weights(tmp_path):
    motion = reconstruct_module.reconstruct(None, tmp_path, max_frames=12, progress=False)
    names = ["motion.npz", "overlay.mp4", "report.html", "report.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
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
def test_a_part_of_the_video_with_a_side_view(tmp_path):
    """The overlay shows the frames of the motion, in three panels."""
    motion = reconstruct_module.reconstruct(
        None, tmp_path, start=1.0, end=1.2, side_view=True, progress=False
    )
    rate = motion.mocap_framerate
    assert len(motion) == pytest.approx(0.2 * rate, abs=1) and 1.0 <= motion.times[0] < 1.0 + 1 / rate
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == len(motion)
    height, width = motion.image_size
    assert (
        video.get(cv2.CAP_PROP_FRAME_WIDTH) / video.get(cv2.CAP_PROP_FRAME_HEIGHT) > 2 * width / height + 0.5
    )


@pytest.mark.network
def test_a_webcam_is_recorded_first(tmp_path, monkeypatch):
    sample, capture = str(downloads.fetch("sample_video")), cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: capture(sample if source == 0 else source))
    motion = reconstruct_module.reconstruct("0", tmp_path, max_frames=5, progress=False)
    assert len(motion) == 5
    names = ["motion.npz", "overlay.mp4", "recording.mp4", "report.html", "report.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_folder_is_reconstructed_with_the_same_options_and_a_bad_video_gives_status_1(
    tmp_path, monkeypatch, capsys
):
    given = []

    def reconstruct(video, out, **options):
        given.append((video.name, options))
        raise UserError("It is no video.")

    monkeypatch.setattr(reconstruct_module, "reconstruct", reconstruct)
    (tmp_path / "clip.mp4").write_bytes(b"")
    arguments = ["reconstruct", "--batch", str(tmp_path), "--out", str(tmp_path / "out"), "--no-overlay"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--person", "2"])
    with pytest.raises(SystemExit, match="1"):
        reconstruct_module.main()
    ((name, options),) = given
    assert name == "clip.mp4" and options["person"] == "2" and not options["overlay"]
    assert "It is no video." in (tmp_path / "out/table.csv").read_text()
    for wrong in (["--shard", "0/2"], ["clip.mp4"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *wrong])
        with pytest.raises(SystemExit, match="2"):
            reconstruct_module.main()
    errors = capsys.readouterr().err
    assert "give i/n with i from 1 to n" in errors and "give one of them" in errors
