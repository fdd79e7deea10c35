import numpy as np

from hpof_jax.body.build import anatomy
from hpof_jax.body.skeletons import SMPL_JOINTS


def test_joints_are_weighted_means():
    for name in SMPL_JOINTS:
        side, _, part = name.partition("_")
        table = anatomy._JOINTS[part if side in ("left", "right") else name]
        assert abs(sum(table.values()) - 1) < 1e-9, name


def test_averaging_takes_the_mean_of_the_neighbours():
    faces = np.array([[0, 1, 2], [0, 2, 3]])  # a square of two triangles
    average = anatomy._averaging(faces)
    np.testing.assert_allclose(average.sum(axis=1), 1)
    values = average @ np.array([0.0, 1.0, 2.0, 3.0])
    assert 0 < values[1] < 2 and values.min() >= 0 and values.max() <= 3
