import numpy as np
import pytest

from benchmarks.rendered import read_clips, true_limbs
from hpof_jax.body.skeletons import SMPL_LIMBS
from hpof_jax.errors import UserError


@pytest.fixture
def clip():
    joints = np.random.default_rng(0).normal(0, 0.3, (5, 24, 3)) + (0, 0, 4)
    return {"joints": joints, "image_size": np.array([720, 1280]), "true_focal_length": np.float32(1000)}


def test_clips_come_with_their_numbers(clip, tmp_path):
    for number in (11, 2):
        np.savez(tmp_path / f"clip_{number:06d}.npz", **clip)
    (first, found), (second, _) = read_clips(tmp_path)
    assert (first, second) == (2, 11)
    np.testing.assert_array_equal(found["joints"], clip["joints"])


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(UserError, match="no rendered clip in .*hpof_jax.data render"):
        next(read_clips(tmp_path))


def test_the_limbs_are_projected_with_the_true_focal_length(clip):
    clip["joints"][2, SMPL_LIMBS[3]] = (0.5, -0.25, 2.0)
    joints, pixels = true_limbs(clip)
    assert joints.shape == (5, 12, 3) and pixels.shape == (5, 12, 2)
    np.testing.assert_allclose(pixels[2, 3], (640 + 250, 360 - 125))
