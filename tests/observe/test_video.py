import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe import video
from hpof_jax.observe.video import frame_times, read_video, thin

HEIGHT, WIDTH, FRAMES = 48, 64, 12


def write_clip(path, fourcc="MJPG", fps=25.0, frames=FRAMES):
    """A clip whose every frame has its own brightness in red, and a blue left third."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (WIDTH, HEIGHT))
    for number in range(frames):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[..., 2] = 20 * number % 256
        frame[:, : WIDTH // 3] = (255, 0, 0)
        writer.write(frame)
    writer.release()
    return path


def write_folder(folder, numbers=range(FRAMES)):
    folder.mkdir()
    for number in numbers:
        cv2.imwrite(
            str(folder / f"frame{number}.png"), np.full((HEIGHT, WIDTH, 3), (0, 0, 20 * number), np.uint8)
        )
    return folder


def fails(source, **options):
    """The error's message, which must be one sentence on one line."""
    with pytest.raises(UserError) as error:
        frames, _ = read_video(source, **options)
        list(frames)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("fourcc, suffix", [("MJPG", ".avi"), ("mp4v", ".mp4")])
def test_frames_are_rgb_and_in_order(tmp_path, fourcc, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", fourcc)
    frames, info = read_video(path)
    frames = list(frames)
    assert info == video.VideoInfo(25.0, (HEIGHT, WIDTH), FRAMES, str(path))
    assert [frame.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * FRAMES
    red = [int(frame[:, 2 * WIDTH // 3 :, 0].mean()) for frame in frames]
    np.testing.assert_allclose(red, 20 * np.arange(FRAMES), atol=8)
    assert frames[0][:, : WIDTH // 4, 2].mean() > 200  # blue is last


@pytest.mark.parametrize("fourcc, suffix", [("MJPG", ".avi"), ("mp4v", ".mp4")])
def test_a_part_of_a_file(tmp_path, fourcc, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", fourcc)
    frames, info = read_video(path, start=0.2, end=0.32)  # at 25 frames/s
    frames = [(int(frame[:, 2 * WIDTH // 3 :, 0].mean()), frames.time) for frame in frames]
    np.testing.assert_allclose(frames, [(100, 0.2), (120, 0.24), (140, 0.28)], atol=8)
    np.testing.assert_allclose([time for _, time in frames], [0.2, 0.24, 0.28], atol=1e-6)
    assert info.frame_count == 3
    frames, info = read_video(path, max_frames=2, start=0.25)  # between two frames
    assert [round(frames.time, 6) for _ in frames] == [0.28, 0.32] and info.frame_count == 2


def test_a_part_of_a_folder(tmp_path):
    folder = write_folder(tmp_path / "frames")
    frames, info = read_video(folder, fps=10, start=1.0)
    assert [(int(frame[0, 0, 0]), frames.time) for frame in frames] == [(200, 1.0), (220, 1.1)]
    assert info.frame_count == 2
    frames, _ = read_video(folder, start=0.1, end=0.2)  # at 30 frames/s
    assert [int(frame[0, 0, 0]) for frame in frames] == [60, 80, 100]


@pytest.mark.parametrize("start", [0.7, 1.5, 3.0, 3.9])
def test_the_start_is_found_at_a_varying_rate(films, start):
    every = [frames.time for frames in [read_video(films / "uneven.mp4")[0]] for _ in frames]
    frames, _ = read_video(films / "uneven.mp4", start=start)
    assert [frames.time for _ in frames] == [time for time in every if time >= start]


def test_the_start_is_found_behind_an_edit_list(films):
    whole = list(read_video(films / "whole.mp4")[0])
    frames, _ = read_video(films / "edited.mp4", start=2.0)
    np.testing.assert_array_equal(next(frames), whole[75 + 60])
    assert frames.time == pytest.approx(2.0)


def test_parts_that_are_not_there(tmp_path):
    video, folder = write_clip(tmp_path / "clip.mp4", "mp4v"), write_folder(tmp_path / "frames")
    for source in (video, folder):
        assert "the start -1 of" in fails(source, start=-1)
        assert "the end nan of" in fails(source, end=float("nan"))
        assert "has no frames from 0.2 to 0.2 seconds" in fails(source, start=0.2, end=0.2)
        assert "has no frames from 0.05 to 0.06 seconds" in fails(source, start=0.05, end=0.06)
        assert "lies beyond the end" in fails(source, start=0.5)
        assert "lies beyond the end" in fails(source, start=50.0, end=60.0)


def test_max_frames_and_fps(tmp_path):
    frames, info = read_video(str(write_clip(tmp_path / "clip.avi")), max_frames=3, fps=50)
    assert len(list(frames)) == 3
    assert (info.frame_count, info.fps) == (3, 50)


def test_folder_is_read_in_natural_order(tmp_path):
    folder = write_folder(tmp_path / "frames")
    (folder / "notes.txt").write_text("not a frame")
    frames, info = read_video(folder)
    assert [frame[0, 0, 0] for frame in frames] == [20 * number for number in range(FRAMES)]
    assert (info.fps, info.frame_count) == (30.0, FRAMES)
    assert len(list(read_video(folder, max_frames=5)[0])) == 5


def test_one_image_is_a_clip_of_one_frame(tmp_path):
    frames, info = read_video(write_folder(tmp_path / "frames") / "frame7.png")
    assert [frame[0, 0].tolist() for frame in frames] == [[140, 0, 0]]
    assert info.frame_count == 1


@pytest.mark.parametrize("degrees", [90, 270])
def test_phone_video_is_turned_upright(tmp_path, degrees):
    flat, turned = write_clip(tmp_path / "flat.mp4", "mp4v"), tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-display_rotation", str(degrees)]
    subprocess.run([*command, "-i", str(flat), "-c", "copy", str(turned)], check=True)
    frames, info = read_video(turned)
    blue = next(frames)[..., 2]
    assert info.image_size == blue.shape == (WIDTH, HEIGHT)
    # The tag turns anticlockwise: the blue left side comes to lie at the bottom with 90 degrees, at the top
    # with 270.
    top, bottom = blue[: WIDTH // 4].mean(), blue[-WIDTH // 4 :].mean()
    assert (bottom > top + 100) if degrees == 90 else (top > bottom + 100)


@pytest.mark.parametrize("name, frames", [("cut.mp4", 77), ("cut.avi", 100), ("damaged.mp4", 50)])
def test_a_video_that_breaks_off_gives_what_it_has_and_one_warning(films, caplog, name, frames):
    path = films / name
    for options in ({}, {}, {"start": 0.5}, {"fps": 60}):  # as for the overlay, another time
        number = len(list(read_video(path, **options)[0]))
        assert abs(number - frames) < 25
    warnings = [message for message in caplog.messages if str(path) in message]
    assert len(warnings) == 1 and "breaks off after" in warnings[0]


@pytest.mark.parametrize("name, frames", [("whole.mp4", 180), ("edited.mp4", 105), ("uneven.mp4", 105)])
def test_a_whole_video_gives_no_warning(films, caplog, name, frames):
    for options in ({}, {"start": 0.5}, {"end": 1.0}, {"fps": 60}, {"max_frames": 3}):
        list(read_video(films / name, **options)[0])
    found, info = read_video(films / name)
    assert len(list(found)) == frames and abs(info.frame_count - frames) <= 5
    assert not caplog.messages


def test_an_edited_video_that_is_cut_off_gives_a_warning(films, caplog):
    list(read_video(films / "cut_edited.mp4")[0])
    assert len(caplog.messages) == 1


def test_wrong_sources_end_in_one_sentence(tmp_path, capfd):
    text, empty, folder = tmp_path / "notes.mp4", tmp_path / "empty.mp4", tmp_path / "nothing"
    text.write_text("this is no video\n" * 50)
    empty.touch()
    folder.mkdir()
    assert "there is no video" in fails(tmp_path / "missing.mp4")
    assert "not a video that can be read" in fails(text)
    assert "empty file" in fails(empty)
    assert "holds no images" in fails(folder)
    assert "max_frames is 0" in fails(text, max_frames=0)
    for fps in (float("nan"), 0.0, -1.0, 0.1, 1e4):
        assert "give 1 to 1000 frames/s" in fails(text, fps=fps)
    cut = write_clip(tmp_path / "cut.mp4", "mp4v")
    cut.write_bytes(cut.read_bytes()[:300])
    assert "not a video that can be read" in fails(cut)
    assert "VideoCapture" not in capfd.readouterr().err  # OpenCV's own lines stay away


def test_webcam_that_is_not_there(monkeypatch):
    class NoCamera:
        isOpened = set = get = grab = lambda *arguments: 0

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: NoCamera())
    assert "webcam 7 cannot be opened" in fails("7")
    assert "webcam 7 cannot be opened" in fails(7)


def test_images_must_be_images_of_one_size(tmp_path):
    folder = write_folder(tmp_path / "frames")
    (folder / "frame5.png").write_bytes(b"no image")
    assert "frame5.png cannot be read" in fails(folder)
    cv2.imwrite(str(folder / "frame5.png"), np.zeros((HEIGHT, HEIGHT, 3), np.uint8))
    assert "must be of one size" in fails(folder)


def test_times_that_are_broken_are_replaced_by_even_ones():
    for broken in ([0.0, 0.2, 0.1, 0.3], [0.0, 0.1, 3600.0, 3600.1]):
        np.testing.assert_allclose(frame_times(broken, 10), [0, 0.1, 0.2, 0.3])
    for uneven in ([0.0, 0.1, 0.3, 0.4], [0.0, 0.1, 3.0, 3.1]):
        np.testing.assert_array_equal(frame_times(uneven, 10), uneven)
    np.testing.assert_array_equal(frame_times([0.0, 0.1006, 0.2, 0.2994], 10), np.arange(4) / 10)


@pytest.mark.parametrize(
    ("fps", "kept"),
    [(15.0, [*range(12)]), (25.0, [*range(12)]), (60.0, [0, 2, 4, 6, 8, 10]), (150.0, [0, 5, 10])],
)
def test_a_fast_video_is_thinned(tmp_path, fps, kept):
    frames, info = thin(*read_video(write_folder(tmp_path / "film"), fps=fps), 30)
    assert info.fps == pytest.approx(30 if fps > 30 else fps)
    assert [int(frame[0, 0, 0]) for frame in frames] == [20 * number for number in kept]
    assert info.frame_count == len(kept)
