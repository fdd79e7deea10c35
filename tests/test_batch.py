"""A folder of videos: finished ones are skipped, a bad one stops nothing, and shards divide the work."""

import csv
import threading

import numpy as np
import pytest

from hpof_jax import batch
from hpof_jax.errors import UserError
from hpof_jax.motion import Motion


def motion(frames: int, seen: int) -> Motion:
    """A motion whose first frames show the person."""
    shapes = {"poses": (frames, 72), "betas": (10,), "trans": (frames, 3), "joints": (frames, 24, 3)}
    shapes |= {"cam": (frames, 3), "box": (frames, 3), "confidence": (frames,)}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    keypoints = np.zeros((frames, 33, 3), np.float32)
    keypoints[:seen, :, 2] = 0.9
    more = dict(mocap_framerate=30.0, gender="neutral", focal_length=1000.0, body="free body")
    numbers = dict(frame_index=np.arange(frames), image_size=np.array([720, 1280]))
    return Motion(**arrays, keypoints_2d=keypoints, **more, **numbers)


class Reconstruct:
    """Stands for `hpof_jax.reconstruct`: notes what it is given; content "bad" raises."""

    def __init__(self):
        self.given, self.lock = [], threading.Lock()

    def __call__(self, video, out):
        with self.lock:
            self.given.append(video.name)
        if video.read_bytes() == b"bad":
            raise UserError(f"{video.name} is no\nvideo: give another.")
        out.mkdir(parents=True, exist_ok=True)
        return motion(8, 6)


@pytest.fixture
def folder(tmp_path):
    videos = tmp_path / "videos"
    (videos / "ü b").mkdir(parents=True)
    for name, content in {"a.mp4": "1", "bad.mov": "bad", "ü b/c d.MP4": "2", "notes.txt": "3"}.items():
        (videos / name).write_text(content)
    return videos


def test_every_video_has_a_row_and_a_second_run_does_only_what_is_missing(folder, tmp_path):
    reconstruct = Reconstruct()
    rows = batch.reconstruct_folder(folder, tmp_path / "out", reconstruct, jobs=2)
    assert sorted(reconstruct.given) == ["a.mp4", "bad.mov", "c d.MP4"]
    found = {row.file: (row.frames, row.coverage, row.error) for row in rows}
    assert found == {
        "a.mp4": ("8", "0.750", ""),
        "bad.mov": ("", "", "bad.mov is no video: give another."),
        "ü b/c d.MP4": ("8", "0.750", ""),
    }
    with (tmp_path / "out/table.csv").open(newline="", encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    assert [*lines[0]] == ["file", "content", "frames", "coverage", "seconds", "error"]
    assert sorted(line["file"] for line in lines) == sorted(found)
    assert (tmp_path / "out/ü b/c d.MP4").is_dir()

    (folder / "bad.mov").write_text("mended")
    again = Reconstruct()
    rows = batch.reconstruct_folder(folder, tmp_path / "out", again)
    assert again.given == ["bad.mov"] and not any(row.error for row in rows)
    assert {row.file for row in batch.read_table(tmp_path / "out/table.csv")} == {*found}


def test_a_row_that_was_cut_off_is_done_again(folder, tmp_path):
    batch.reconstruct_folder(folder, tmp_path / "out", Reconstruct(), jobs=1)
    table = tmp_path / "out/table.csv"
    lines = sorted(table.read_text(encoding="utf-8").splitlines(), key=lambda line: line.startswith("a.mp4"))
    table.write_text("\n".join([*lines[:-1], lines[-1][:9]]), encoding="utf-8")
    again = Reconstruct()
    rows = batch.reconstruct_folder(folder, tmp_path / "out", again, jobs=1)
    assert len(again.given) == 2 and len(rows) == 3  # the bad one, and the one whose line was cut


def test_shards_divide_the_videos_by_their_content(folder, tmp_path):
    for number in range(40):
        (folder / f"{number}.avi").write_text(f"content {number}")
    whole = {path.name for path in batch.find_videos(folder)}
    parts = []
    for number in (1, 2, 3):
        reconstruct = Reconstruct()
        batch.reconstruct_folder(folder, tmp_path / "out", reconstruct, shard=(number, 3))
        parts.append({*reconstruct.given})
        assert (tmp_path / f"out/table-{number}-of-3.csv").exists()
    assert set.union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert min(map(len, parts)) > 5
    (folder / "0.avi").rename(folder / "renamed.avi")  # stays in its shard
    (home,) = (number for number, part in enumerate(parts, 1) if "0.avi" in part)
    reconstruct = Reconstruct()
    batch.reconstruct_folder(folder, tmp_path / "out", reconstruct, shard=(home, 3))
    assert "renamed.avi" in reconstruct.given


def test_several_videos_are_worked_on_at_once(folder, tmp_path):
    both = threading.Barrier(2, timeout=60)  # breaks if the second video never starts

    def reconstruct(video, out):
        if video.name != "bad.mov":
            both.wait()
        return [motion(8, 2), motion(8, 4)]  # two persons

    rows = batch.reconstruct_folder(folder, tmp_path / "out", reconstruct, jobs=3)
    assert {row.coverage for row in rows} == {"0.500"}


def test_a_defect_is_raised_after_the_other_videos_are_done(folder, tmp_path):
    def reconstruct(video, out):
        return motion(8, 8) if video.name != "a.mp4" else 1 / 0

    with pytest.raises(ZeroDivisionError):
        batch.reconstruct_folder(folder, tmp_path / "out", reconstruct, jobs=1)
    assert len(batch.read_table(tmp_path / "out/table.csv")) == 2


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", "²/4"])
def test_a_wrong_shard_is_one_sentence(text):
    assert batch.parse_shard("2/4") == (2, 4)
    with pytest.raises(UserError, match="give i/n with i from 1 to n"):
        batch.parse_shard(text)


def test_wrong_folders_are_one_sentence(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no videos"):
        batch.find_videos(tmp_path / "empty")
    with pytest.raises(UserError, match="There is no folder"):
        batch.find_videos(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot be made"):
        batch.reconstruct_folder(folder, folder / "a.mp4", Reconstruct())
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="remove it"):
        batch.read_table(tmp_path / "table.csv")
