"""The video in a page: which part of which file, and what wrong files give."""

import cv2
import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.export.viewer.video import encode

SIZE = np.array([48, 64])  # height, width
RATE = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A video of 20 frames; each is grey, brighter than the one before."""
    path = tmp_path_factory.mktemp("für Zoë") / "mein film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), 10 * number + 20, np.uint8))
    writer.release()
    return path


def frames(content: bytes, folder) -> list[np.ndarray]:
    (folder / "part.mp4").write_bytes(content)
    capture, found = cv2.VideoCapture(str(folder / "part.mp4")), []
    while (answer := capture.read())[0]:
        found.append(answer[1])
    capture.release()
    return found


def test_the_part_of_the_motion_is_encoded(film, tmp_path):
    part = frames(encode(film, 0.5, 1.2, SIZE), tmp_path)
    assert [picture.shape for picture in part] == [(48, 64, 3)] * 8
    np.testing.assert_allclose([picture.mean() for picture in part], 70 + 10 * np.arange(8), atol=4)


def test_one_frame_is_enough(film, tmp_path):
    assert len(frames(encode(film, 0.5, 0.5, SIZE), tmp_path)) == 1


def test_wrong_videos_give_one_sentence(film, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for path, start, size, sentence in [
        (tmp_path / "absent.mp4", 0.0, SIZE, "There is no video .*absent.mp4"),
        (tmp_path, 0.0, SIZE, "is a folder, and a page shows only videos"),
        (text, 0.0, SIZE, r"The video .*text.mp4 cannot be read \(.*\): give the one"),
        (film, 9.0, SIZE, "has no picture at the times of the motion"),
        (film, 0.0, SIZE[::-1], "are not of the shape 48 x 64"),
    ]:
        with pytest.raises(UserError, match=sentence) as error:
            encode(path, start, start + 0.5, size)
        assert "\n" not in str(error.value)
