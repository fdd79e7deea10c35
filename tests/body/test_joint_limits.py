import numpy as np

from hpof_jax.body.joint_limits import JOINT_LIMITS
from hpof_jax.body.skeletons import SMPL_MIRROR


def test_limits_are_mirrored_and_allow_the_rest_pose():
    signs = np.array([1.0, -1.0, -1.0])[:, None]
    mirrored = np.sort(JOINT_LIMITS[SMPL_MIRROR] * signs, axis=-1)
    np.testing.assert_allclose(mirrored[:, 1:], np.sort(JOINT_LIMITS, axis=-1)[:, 1:])
    assert np.all(JOINT_LIMITS[..., 0] <= 0) and np.all(JOINT_LIMITS[..., 1] >= 0)
