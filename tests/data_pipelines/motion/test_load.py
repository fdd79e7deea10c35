import io
import os
import zipfile

import numpy as np
import pytest

from benchmarks.small_bvh import CHANNELS, bvh_text
from data_pipelines.motion import bvh, load
from data_pipelines.motion.clip import is_validation
from data_pipelines.motion.load import load_source
from hpof_jax.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))


def small_bvh():
    """A T-pose and one frame more, as text."""
    rows = np.zeros((2, CHANNELS))
    rows[:, 1:3], rows[1, 3:] = [[94, 0], [94, 5]], 3
    return bvh_text(rows)


def name_in(split, stem="walk"):
    wanted = split == "validation"
    return next(name for name in (f"{stem}_{i:03d}.bvh" for i in range(999)) if is_validation(name) == wanted)


def test_a_folder_is_read_and_split_by_file(tmp_path):
    folder = tmp_path / "mocap"
    (folder / "deeper").mkdir(parents=True)
    train, validation = name_in("train"), name_in("validation")
    (folder / train).write_text(small_bvh())
    (folder / "deeper" / validation).write_text(small_bvh())
    clips = {split: [clip.name for clip in load_source(f"bvh:{folder}", split)] for split in load.SPLITS}
    assert clips == {"train": [train], "validation": [validation], "all": [validation, train]}
    clip = load_source(f"bvh:{folder}")[0]
    assert clip.pose.shape == (2, 24, 3) and clip.motion_class == "walk" and clip.betas is None


def test_a_zip_archive_gives_the_same_clips(tmp_path):
    (tmp_path / "mocap").mkdir()
    (tmp_path / "mocap" / "run_1.bvh").write_text(small_bvh())
    with zipfile.ZipFile(tmp_path / "mocap.zip", "w") as archive:
        archive.writestr("inside/run_1.bvh", small_bvh())
        archive.writestr("README", "no motion")
    (a,), (b,) = load_source(f"bvh:{tmp_path}/mocap"), load_source(f"bvh:{tmp_path}/mocap.zip")
    assert (a.name, a.motion_class) == (b.name, b.motion_class) == ("run_1.bvh", "run")
    np.testing.assert_array_equal(a.pose, b.pose)


def test_the_second_reading_comes_from_the_cache_until_a_file_changes(tmp_path, monkeypatch):
    folder = tmp_path / "mocap"
    folder.mkdir()
    (folder / "jump_1.bvh").write_text(small_bvh())
    first = load_source(f"bvh:{folder}")[0]
    calls = []
    read = bvh.read_all
    monkeypatch.setattr(bvh, "read_all", lambda *arguments: calls.append(1) or read(*arguments))
    second = load_source(f"bvh:{folder}")[0]
    assert not calls and second.name == first.name and second.betas is None
    np.testing.assert_array_equal(first.pose, second.pose)
    np.testing.assert_array_equal(first.transl, second.transl)
    os.utime(folder / "jump_1.bvh", (1, 1))
    load_source(f"bvh:{folder}")
    assert len(calls) == 1


def test_an_unreadable_file_is_left_out_and_named(tmp_path, caplog):
    folder = tmp_path / "mocap"
    folder.mkdir()
    (folder / "bad.bvh").write_text("nothing")
    with pytest.raises(UserError, match="bad.bvh"):
        load_source(f"bvh:{folder}")
    (folder / "good.bvh").write_text(small_bvh())
    assert [clip.name for clip in load_source(f"bvh:{folder}")] == ["good.bvh"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:500],
        lambda whole: b"",
        lambda whole: whole[:300] + bytes(100) + whole[400:],
        lambda whole: npz(lengths=np.array([99])),
        lambda whole: npz(lengths=np.array([2]), pose=np.float32(0)),
    ],
)
def test_a_damaged_cache_is_made_anew(tmp_path, caplog, damage):
    folder = tmp_path / "mocap"
    folder.mkdir()
    (folder / "jump_1.bvh").write_text(small_bvh())
    before = load_source(f"bvh:{folder}")[0]
    (stored,) = (tmp_path / "cache" / "motion").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(damage(whole))
    after = load_source(f"bvh:{folder}")[0]
    np.testing.assert_array_equal(after.pose, before.pose)
    assert "the motion is converted again" in caplog.text
    assert len(stored.read_bytes()) == len(whole)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_damaged_member_of_an_archive_is_left_out(tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / "mocap.zip", "w") as archive:
        for name in ("jump_1.bvh", "run_1.bvh"):
            archive.writestr(name, small_bvh())
    content = bytearray((tmp_path / "mocap.zip").read_bytes())
    content[100] ^= 1  # in the first member
    (tmp_path / "mocap.zip").write_bytes(content)
    assert [clip.name for clip in load_source(f"bvh:{tmp_path}/mocap.zip")] == ["run_1.bvh"]
    assert "mocap.zip/jump_1.bvh is not readable" in caplog.text


@pytest.mark.parametrize(
    "spec", ["bvh", "bvh:", "fbx:folder", "bvh:/nowhere/at/all", "amass:/nowhere/at/all"]
)
def test_a_wrong_source_is_a_user_error(spec):
    with pytest.raises(UserError):
        load_source(spec)


def test_an_empty_folder_a_wrong_split_and_a_broken_zip(tmp_path):
    with pytest.raises(UserError, match="no .bvh file"):
        load_source(f"bvh:{tmp_path}")
    with pytest.raises(UserError, match="test"):
        load_source(f"bvh:{tmp_path}", "test")
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="zip"):
        load_source(f"bvh:{tmp_path}/broken.zip")
