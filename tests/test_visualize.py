"""The body over the video."""

import dataclasses
import errno
import itertools
import os
import pathlib
import signal
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest

from hpof_jax.body import forward, load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry import zbuffer
from hpof_jax.motion import Motion
from hpof_jax.visualize import record, render_mesh, write_overlay

HEIGHT, WIDTH, FOCAL = 90, 120, 150.0
UPRIGHT = np.array([np.pi, 0, 0], np.float32)  # faces the camera


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def motion(body):
    """Frames 1 to 4 of a video of 6: a body in its rest pose that was lost in frame 3."""
    frames, transl = 4, np.array([0, 0.2, 3.5], np.float32)
    _, joints = jax.jit(forward)(
        body, np.zeros(10, np.float32), UPRIGHT, np.zeros((23, 3), np.float32), transl
    )
    poses = np.zeros((frames, 72), np.float32)
    poses[:, :3] = UPRIGHT
    return Motion(
        poses=poses,
        betas=np.zeros(10),
        trans=np.tile(transl, (frames, 1)),
        mocap_framerate=12.0,
        gender="neutral",
        joints=np.tile(joints, (frames, 1, 1)),
        keypoints_2d=np.zeros((frames, 33, 3)),
        cam=np.ones((frames, 3)),
        box=np.ones((frames, 3)),
        frame_index=np.arange(1, 5),
        confidence=[1.0, 1.0, 0.2, 1.0],
        image_size=(HEIGHT, WIDTH),
        focal_length=FOCAL,
        body=body.name,
    )


def grey_frames(count):
    return [np.full((HEIGHT, WIDTH, 3), 60, np.uint8) for _ in range(count)]


def read(path: pathlib.Path) -> np.ndarray:
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = video.read()
        if not ok:
            return np.stack(frames)
        frames.append(frame[..., ::-1])


def test_the_mesh_covers_its_exact_area_and_leaves_the_rest_untouched(body, motion):
    vertices, faces = motion.vertices(body)[0], np.asarray(body.faces)
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    before = frame.copy()
    drawn = render_mesh(frame, vertices, faces, FOCAL, alpha=1.0)
    np.testing.assert_array_equal(frame, before)

    fine = 8
    points = zbuffer.project(vertices, fine * FOCAL, (fine * HEIGHT, fine * WIDTH))
    mask = zbuffer.rasterize(points, vertices[:, 2], faces, (fine * HEIGHT, fine * WIDTH)).mask
    covered = mask.reshape(HEIGHT, fine, WIDTH, fine).mean(axis=(1, 3))
    np.testing.assert_array_equal(drawn[covered == 0], frame[covered == 0])
    # Over white and over black: what differs is what the body leaves uncovered.
    white, black = (render_mesh(np.full_like(frame, c), vertices, faces, FOCAL, alpha=1.0) for c in (255, 0))
    coverage = 1.0 - (white.astype(float) - black).mean(axis=-1) / 255.0
    assert coverage.sum() == pytest.approx(covered.sum(), rel=0.02)
    assert np.abs(coverage - covered).max() < 0.5  # two samples a side against eight
    assert ((coverage > 0.1) & (coverage < 0.9)).sum() > 50  # the edges are soft


def test_opacity_mixes_the_frame_and_the_body(body, motion):
    vertices, faces = motion.vertices(body)[0], np.asarray(body.faces)
    frame = grey_frames(1)[0]
    full, half, none = (
        render_mesh(frame, vertices, faces, FOCAL, alpha=a).astype(int) for a in (1.0, 0.5, 0.0)
    )
    np.testing.assert_array_equal(none, frame)
    np.testing.assert_allclose(half, (full + frame) / 2, atol=1.0)


def test_what_looks_at_the_light_is_brighter():
    step = np.array(
        [[-1.0, -1, 3], [-1, 1, 3], [0, 1, 3], [0, -1, 3], [0, -1, 3], [0, 1, 3], [1, 1, 7], [1, -1, 7]]
    )
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    drawn = render_mesh(
        np.zeros((100, 100, 3), np.uint8), step, faces, 100.0, color=(200, 100, 50), alpha=1.0
    )
    facing, turned = drawn[50, 35].astype(float), drawn[50, 53].astype(float)
    assert facing[0] > 1.5 * turned[0] > 0
    np.testing.assert_allclose(facing / facing[0], [1, 0.5, 0.25], atol=0.02)


def test_a_body_that_is_not_in_view_leaves_the_frame_as_it_was(body, motion):
    frame, faces = grey_frames(1)[0], np.asarray(body.faces)
    vertices = motion.vertices(body)[0]
    for shift in ([0, 0, -10], [30, 0, 0], [0, 0, -3.5]):
        drawn = render_mesh(frame, vertices + shift, faces, FOCAL)
        assert drawn.shape == frame.shape
        if shift != [0, 0, -3.5]:  # the last one stands in the camera: anything but an error
            np.testing.assert_array_equal(drawn, frame)


def test_the_video_shows_input_and_overlay_side_by_side(body, motion, tmp_path):
    write_overlay(iter(grey_frames(6)), motion, body, tmp_path / "overlay.mp4", progress=False)
    video = read(tmp_path / "overlay.mp4").astype(int)
    assert video.shape == (6, HEIGHT, 2 * WIDTH, 3)
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(12.0)
    assert [path.name for path in tmp_path.iterdir()] == ["overlay.mp4"]
    left, right = video[:, :, :WIDTH], video[:, :, WIDTH:]
    assert np.abs(left - 60).max() < 25
    shown = (np.abs(right - 60) > 40).any(axis=-1).mean(axis=(1, 2))
    assert (shown[[0, 5]] == 0).all()  # not covered by the motion
    assert (shown[[1, 2, 4]] > 0.03).all()
    chest = right[:, 45:50, 58:62].reshape(6, -1, 3).mean(axis=1)
    seen, filled = chest[2], chest[3]
    assert (
        seen[2] - seen[0] > 20 and abs(filled[2] - filled[0]) < 12
    )  # blue, and grey where it was only filled in


def test_each_frame_of_a_varying_rate_is_shown_at_its_time(body, motion, tmp_path):
    uneven = dataclasses.replace(motion, times=[2.0, 2.1, 2.14, 2.5], mocap_framerate=6.0)
    frames = [np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8) for number in range(6)]
    write_overlay(frames, uneven, body, tmp_path / "overlay.mp4", progress=False)
    video = read(tmp_path / "overlay.mp4")
    shown = np.round(video[:, :, :WIDTH].mean(axis=(1, 2, 3)) / 40).astype(int)
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    # At 10 frames/s, from the median, the motion's four frames have the numbers 0, 1, 1 and 5.
    assert shown.tolist() == [0, 1, 3, 3, 3, 3, 4, 5]


def test_large_frames_are_scaled_and_odd_sides_made_even(body, motion, tmp_path):
    write_overlay(
        grey_frames(2),
        motion,
        body,
        tmp_path / "v.mp4",
        side_by_side=False,
        side_view=True,
        max_height=45,
        progress=False,
    )
    video = read(tmp_path / "v.mp4").astype(int)
    assert video.shape == (2, 44, 60 + 30, 3)
    side = (video[1, :, 60:] < 200).any(axis=-1)
    assert 0.03 < side.mean() < 0.4  # seen from the side, the arms of the rest pose point at the viewer
    columns = np.flatnonzero(side.any(axis=0))
    assert columns.max() - columns.min() < np.flatnonzero(side.any(axis=1)).size / 2


def test_nothing_is_left_when_the_video_breaks_off(body, motion, tmp_path):
    def broken():
        yield from grey_frames(2)
        raise UserError("The video is damaged.")

    with pytest.raises(UserError, match="The video is damaged."):
        write_overlay(broken(), motion, body, tmp_path / "overlay.mp4", progress=False)
    assert not list(tmp_path.iterdir())


def test_frames_that_do_not_fit_the_motion_give_one_sentence(body, motion, tmp_path):
    with pytest.raises(UserError, match="Frame 0 of the video has shape .* 90 x 120 pixels"):
        write_overlay([np.zeros((50, 60, 3), np.uint8)], motion, body, tmp_path / "o.mp4", progress=False)
    with pytest.raises(UserError, match="The video has no frame"):
        write_overlay([], motion, body, tmp_path / "o.mp4", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_video_that_cannot_be_written_gives_one_sentence(body, motion, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="overlay.mp4 cannot be written: make the folder .*nowhere first"):
        write_overlay(grey_frames(3), motion, body, tmp_path / "nowhere" / "overlay.mp4", progress=False)
    with pytest.raises(UserError, match="overlay.png cannot be written: give a name that ends in .mp4"):
        write_overlay(grey_frames(3), motion, body, tmp_path / "overlay.png", progress=False)

    def fill_the_disk(self, image):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mediapy.VideoWriter.add_image", fill_the_disk)
    with pytest.raises(UserError, match=r"overlay.mp4 cannot be written \(.*No space left on device"):
        write_overlay(grey_frames(3), motion, body, tmp_path / "overlay.mp4", progress=False)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_a_recording(tmp_path):
    def camera():
        for number in itertools.count():
            if number == 5:
                signal.raise_signal(signal.SIGINT)
            yield np.full((33, 46, 3), 120, np.uint8)

    record(camera(), 30, tmp_path / "recording.mp4")
    video = cv2.VideoCapture(str(tmp_path / "recording.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    with pytest.raises(UserError, match="no frame"):
        record(iter([]), 30, tmp_path / "none.mp4")
    assert not (tmp_path / "none.mp4").exists()


RECORDS = """
import itertools, sys
import numpy as np
from hpof_jax import interrupt, visualize

interrupt.install()

def camera():
    for number in itertools.count():
        yield np.full((32, 48, 3), 120, np.uint8)
        if number == 3:
            print("go", flush=True)

visualize.record(camera(), 30, sys.argv[1])
print("on")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_ctrl_c_in_a_terminal_reaches_ffmpeg_too_and_the_recording_is_whole(tmp_path):
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # else the program inherits an ignored one
    command = [sys.executable, "-c", RECORDS, tmp_path / "recording.mp4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as program:
        signal.signal(signal.SIGINT, before)
        assert program.stdout.readline() == "go\n"
        os.killpg(program.pid, signal.SIGINT)
        assert program.stdout.read() == "on\n"
    assert program.returncode == 0
    assert len(read(tmp_path / "recording.mp4")) >= 4
    assert [path.name for path in tmp_path.iterdir()] == ["recording.mp4"]
