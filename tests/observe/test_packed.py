import tracemalloc

import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.observe.packed import Packed, read_packed, write_npz

KIND = "a file of frames", "make it again"


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(9, 2, 4, 3)) * (rng.random((9, 2, 4, 3)) < 0.5)).astype(np.float16)


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, bool])
@pytest.mark.parametrize(
    "index", [0, -1, slice(2, 7, 2), [3, 3, 8], np.array([[0, 1], [8, 2]]), np.arange(9) > 4]
)
def test_it_is_read_like_the_array(frames, dtype, index):
    frames = frames.astype(dtype)
    found = Packed.of(frames)[index]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, frames[index])


def test_it_converts_to_the_array(frames):
    packed = Packed.of(frames)
    assert (packed.shape, packed.ndim, packed.dtype, len(packed)) == (frames.shape, 4, np.float16, 9)
    np.testing.assert_array_equal(np.asarray(packed), frames)
    np.testing.assert_array_equal([*packed], frames)
    assert np.array(packed, np.float32).dtype == np.float32
    assert np.asarray(Packed((2, 3), bool)).shape == (0, 2, 3)
    with pytest.raises(IndexError):
        packed[9]


def test_frames_are_added_and_taken_away(frames):
    packed = Packed.of(frames[:5])
    packed.extend(Packed.of(frames[5:]))
    del packed[7:]
    np.testing.assert_array_equal(packed, frames[:7])
    with pytest.raises(ValueError, match="shape"):
        packed.append(frames[0, 0])
    with pytest.raises(ValueError, match="uint8"):
        packed.extend(Packed(frames.shape[1:], np.uint8))


def test_a_file_is_that_of_the_arrays(frames, tmp_path):
    arrays = {"masks": frames, "fps": np.float32(30), "source": np.array("given"), "none": frames[:0]}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    with (tmp_path / "b.npz").open("wb") as file:
        write_npz(file, (arrays | {name: Packed.of(arrays[name]) for name in ("masks", "none")}).items())
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])
    found = read_packed(tmp_path / "b.npz", ("masks", "none", "missing"), *KIND)
    assert found.keys() == {"masks", "none"}
    np.testing.assert_array_equal(found["masks"], frames)
    assert found["none"].shape == (0, 2, 4, 3)


def test_memory_holds_no_whole_array(tmp_path):
    frame = np.zeros((128, 128), np.uint8)
    frame[30:90, 50:70] = 255
    packed = Packed(frame.shape, frame.dtype)
    tracemalloc.start()
    for _ in range(1000):
        packed.append(frame)
    with (tmp_path / "a.npz").open("wb") as file:
        write_npz(file, [("masks", packed)])
    found = read_packed(tmp_path / "a.npz", ["masks"], *KIND)["masks"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1000 and peak < 1000 * frame.nbytes / 4


@pytest.mark.parametrize("array", [np.float32(3), np.zeros((5, 0, 3)), np.asfortranarray(np.ones((5, 4, 3)))])
def test_something_else_than_frames_ends_in_one_sentence(tmp_path, array):
    np.savez(tmp_path / "a.npz", masks=array)
    with pytest.raises(UserError, match="a.npz is not a file of frames .*make it again"):
        read_packed(tmp_path / "a.npz", ["masks"], *KIND)


@pytest.mark.parametrize("damage", [lambda b: b[:300], lambda b: b[:200] + bytes(50) + b[250:]])
def test_a_damaged_file_ends_in_one_sentence(frames, tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, masks=frames)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="make it again"):
        read_packed(path, ["masks"], *KIND)
