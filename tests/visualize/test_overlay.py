"""The body over the video."""

import dataclasses
import errno
import pathlib

import cv2
import jax
import numpy as np
import pytest

from hpof_jax.body import forward, load_body
from hpof_jax.errors import UserError
from hpof_jax.motion import Motion
from hpof_jax.visualize import STYLES, render, write_overlay

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


def test_several_people_have_a_colour_each_and_the_nearest_is_in_front(body, motion, tmp_path):
    shift = np.float32([-0.7, 0, 0])
    late = dataclasses.replace(
        motion,
        trans=motion.trans + shift,
        joints=motion.joints + shift,
        frame_index=np.arange(2, 6),
        confidence=[1.0, 1.0, 0.1, 1.0],
    )
    write_overlay(
        grey_frames(7), [motion, late], body, tmp_path / "overlay.mp4", layout="over", progress=False
    )
    video = read(tmp_path / "overlay.mp4").astype(int)
    shown = (np.abs(video - 60) > 40).any(axis=-1)
    chests = {
        name: video[:, 45:50, x - 2 : x + 2].reshape(7, -1, 3).mean(axis=1)
        for name, x in (("one", 60), ("other", 30))
    }
    blue, orange = chests["one"][2], chests["other"][2]
    assert blue[2] - blue[0] > 20 and orange[0] - orange[2] > 20
    assert not shown[[0, 6]].any() and shown[1].sum() < shown[2].sum()
    # A guess that is far from all frames that show the person is not drawn.
    assert np.abs(chests["other"][4] - 60).max() < 25


def test_each_frame_of_a_varying_rate_is_shown_at_its_time(body, motion, tmp_path):
    uneven = dataclasses.replace(motion, times=[2.0, 2.1, 2.14, 2.5], mocap_framerate=6.0)
    frames = [np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8) for number in range(6)]
    write_overlay(frames, uneven, body, tmp_path / "overlay.mp4", progress=False)
    video = read(tmp_path / "overlay.mp4")
    shown = np.round(video[:, :, :WIDTH].mean(axis=(1, 2, 3)) / 40).astype(int)
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    # At 10 frames/s, from the median, the motion's four frames have the numbers 0, 1, 1 and 5.
    assert shown.tolist() == [0, 1, 3, 3, 3, 3, 4, 5]


def test_the_side_view_shows_everybody(body, motion, tmp_path):
    """One person is 4 m behind the other, which is more than the panel of one person shows."""
    shift = np.float32([0, 0, 4])
    behind = dataclasses.replace(
        motion, trans=motion.trans + shift, joints=motion.joints + shift, confidence=np.ones(4)
    )
    path = tmp_path / "v.mp4"
    write_overlay(grey_frames(3), [motion, behind], body, path, layout="over", side_view=True, progress=False)
    side = read(path).astype(int)[1, :, WIDTH:]
    assert side.shape == (HEIGHT, 62, 3)
    left, right = ((part < 200).any(axis=-1).mean() for part in (side[:, :31], side[:, 31:]))
    assert left > 0.005 and right > 0.005  # depth runs from left to right
    far = side[:, 31:].reshape(-1, 3)
    assert np.median(far[(far < 200).any(axis=-1)] @ [1, 0, -1]) > 20  # the second person is orange


def test_large_frames_are_scaled_and_odd_sides_made_even(body, motion, tmp_path):
    write_overlay(
        grey_frames(2),
        motion,
        body,
        tmp_path / "v.mp4",
        layout="over",
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


@pytest.mark.parametrize("style", STYLES)
def test_every_style_changes_the_person_and_keeps_the_background(body, motion, tmp_path, style):
    swaying = dataclasses.replace(motion, trans=motion.trans + np.arange(4)[:, None] * [0.05, 0, 0])
    path = tmp_path / "overlay.mp4"
    write_overlay(grey_frames(6), swaying, body, path, style=style, side_view=True, progress=False)
    video = read(path).astype(int)
    assert video.shape == (6, HEIGHT, 2 * WIDTH + 62, 3)
    overlay, side = video[1, :, WIDTH : 2 * WIDTH], video[1, :, 2 * WIDTH :]
    background = 27 if style == "flow" else 60
    assert np.abs(overlay[:, :15] - background).max() < 25
    assert (np.abs(overlay[:, 40:80] - background) > 40).any(axis=-1).mean() > 0.05
    assert (side < 200).any(axis=-1).mean() > 0.02
    if style == "flow":  # the body moves to the right, where the colour is red
        chest = overlay[45:50, 58:62].mean(axis=(0, 1))
        assert chest[0] > 200 and chest[1] < 150 and chest[2] < 150


def test_labels_name_the_panels_and_are_left_out_of_small_pictures(body, motion, tmp_path):
    large = dataclasses.replace(motion, image_size=(4 * HEIGHT, 4 * WIDTH), focal_length=4 * FOCAL)
    frames = [np.full((4 * HEIGHT, 4 * WIDTH, 3), 120, np.uint8)] * 3
    videos = {}
    for labels in (True, False):
        path = tmp_path / f"{labels}.mp4"
        write_overlay(frames, large, body, path, labels=labels, progress=False)
        videos[labels] = read(path).astype(int)
    changed = (np.abs(videos[True] - videos[False]) > 60).any(axis=-1)
    assert changed[:, :40, :100].mean() > 0.05  # "video"
    assert changed[:, :40, 4 * WIDTH :][..., :100].mean() > 0.05  # "mesh"
    assert changed[:, -40:, :100].mean() > 0.05  # the frame's number and time
    assert changed[:, 60:300].mean() < 0.001


def test_a_motion_is_rendered_over_its_part_of_the_video(body, motion, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(10):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8))
    part = dataclasses.replace(motion, frame_index=np.arange(4), times=np.arange(3, 7) / 12)
    render(part, folder, tmp_path / "overlay.mp4", body, fps=12, progress=False)
    shown = read(tmp_path / "overlay.mp4")[:, :, :WIDTH].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shown, [60, 80, 100, 120], atol=3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(style="wire"), "There is no style 'wire': choose one of mesh, skeleton, silhouette, flow"),
        (dict(layout="below"), "There is no layout 'below': choose one of beside, over"),
    ],
)
def test_an_unknown_look_gives_one_sentence(body, motion, tmp_path, options, sentence):
    with pytest.raises(UserError, match=sentence):
        write_overlay(grey_frames(3), motion, body, tmp_path / "overlay.mp4", progress=False, **options)
    assert not list(tmp_path.iterdir())
