"""theta (..., 85), packed and unpacked in one place."""

import numpy as np
import pytest

from hpof_jax.body.theta import pack_theta, unpack_theta


def test_unpacking_returns_what_was_packed():
    rng = np.random.default_rng(0)
    cam, pose, betas = (
        rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 3), (2, 5, 24, 3), (2, 5, 10))
    )
    theta = pack_theta(cam, pose, betas)
    assert theta.shape == (2, 5, 85)
    for have, want in zip(unpack_theta(theta), (cam, pose, betas), strict=True):
        np.testing.assert_array_equal(have, want)


def test_the_order_is_cam_pose_betas():
    theta = pack_theta(np.full(3, 1.0), np.full((24, 3), 2.0), np.full(10, 3.0))
    np.testing.assert_array_equal(theta, [1.0] * 3 + [2.0] * 72 + [3.0] * 10)


def test_one_shape_goes_with_every_frame():
    theta = pack_theta(np.zeros((7, 3)), np.zeros((7, 24, 3)), np.arange(10.0))
    np.testing.assert_array_equal(unpack_theta(theta)[2], np.tile(np.arange(10.0), (7, 1)))


def test_another_length_is_refused():
    with pytest.raises(ValueError, match="82 numbers"):
        unpack_theta(np.zeros((4, 82)))
