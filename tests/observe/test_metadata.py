import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from hpof_jax.observe import metadata
from hpof_jax.observe.metadata import Metadata, photo_metadata, video_metadata
from hpof_jax.observe.video import read_video
from tests.observe.conftest import ffmpeg

APPLE = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def write_photo(path, focal_length):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = focal_length
    Image.new("RGB", (64, 48)).save(path, exif=exif)
    return path


def test_focal_length_in_pixels():
    assert Metadata(focal_length_35mm=43.27).focal_length((300, 400)) == pytest.approx(500)  # the diagonal
    assert Metadata().focal_length((300, 400)) is None


@pytest.mark.parametrize("key", [APPLE, "FocalLengthIn35mmFormat", "com.android.camera.focallength35mm"])
@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_the_focal_length_of_a_video(films, tmp_path, key, suffix):
    path = tmp_path / f"clip{suffix}"
    tags = ("-movflags", "use_metadata_tags") if suffix == ".mov" else ()
    ffmpeg("-i", films / "whole.mp4", "-c", "copy", *tags, "-metadata", f"{key}=26", path)
    _, info = read_video(path)
    assert info.focal_length == pytest.approx(26 / 43.27 * np.hypot(64, 48))


def test_a_video_without_focal_length(films):
    assert video_metadata(films / "whole.mp4") == Metadata(duration=6.0)
    assert video_metadata(films / "edited.mp4").duration == pytest.approx(3.5, abs=0.05)
    assert video_metadata(films / "cut.avi").duration is None  # only MP4's is known
    assert read_video(films / "whole.mp4")[1].focal_length is None


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_the_focal_length_of_a_photograph(tmp_path, suffix):
    path = write_photo(tmp_path / f"photo{suffix}", 28)
    assert photo_metadata(path).focal_length_35mm == 28
    expected = pytest.approx(28 / 43.27 * np.hypot(64, 48))
    assert read_video(path)[1].focal_length == read_video(tmp_path)[1].focal_length == expected


@pytest.mark.parametrize("value", [0, -1])
def test_what_is_no_focal_length_is_unknown(tmp_path, value):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = str(value)
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.jpg", exif=exif)
    assert photo_metadata(tmp_path / "photo.jpg") == Metadata()


def test_other_files_have_no_metadata(tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    cv2.imwrite(str(tmp_path / "plain.png"), np.zeros((8, 8, 3), np.uint8))
    for path in (text, tmp_path / "plain.png", tmp_path / "missing.png"):
        assert photo_metadata(path) == video_metadata(path) == Metadata()


def test_ffmpeg_runs_once_for_a_file_and_may_fail(films, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes((films / "whole.mp4").read_bytes())
    known = video_metadata(path)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/nowhere/ffmpeg")
    assert video_metadata(path) == known
    path.write_bytes((films / "edited.mp4").read_bytes() + b"\0")
    assert video_metadata(path) == Metadata()
    metadata._video_metadata.cache_clear()
