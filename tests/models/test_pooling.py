import numpy as np

from hpof_jax.models.pooling import masked_mean


def test_the_mean_of_the_frames_in_the_mask():
    x = np.arange(12.0).reshape(2, 3, 2)
    mask = np.array([[True, False, True], [False, False, False]])
    np.testing.assert_allclose(masked_mean(x, mask), [[2.0, 3.0], [0.0, 0.0]])
