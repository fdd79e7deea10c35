import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from hpof_jax.geometry import rotations, temporal

RNG = np.random.default_rng(0)


def test_linear_interpolation_between_frames():
    values = np.array([[0.0, 0.0], [1.0, 10.0], [3.0, 20.0]])
    np.testing.assert_allclose(
        temporal.linear(values, np.array([0.0, 0.5, 1.75, 2.0])), [[0, 0], [0.5, 5], [2.5, 17.5], [3, 20]]
    )


def test_windows_of_concatenated_clips():
    pose = RNG.normal(0, 0.2, (20, 24, 3)).astype(np.float32)
    transl = RNG.normal(0, 1, (20, 3)).astype(np.float32)
    position, first = np.array([[3.0, 4.0, 5.0], [9.0, 8.0, 7.0]]), np.array([[0], [10]])
    rows = [[3, 4, 5], [19, 18, 17]]
    np.testing.assert_array_equal(temporal.nlerp(pose, position, first), pose[rows])
    np.testing.assert_array_equal(temporal.linear(transl, position, first), transl[rows])
    read = temporal.linear(transl, position + [[0.25], [0.0]], first)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read[0], 0.75 * transl[3:6] + 0.25 * transl[4:7], rtol=1e-6)


@pytest.mark.parametrize("interpolate", [temporal.nlerp, temporal.slerp])
def test_halfway_between_two_rotations(interpolate):
    pose = np.zeros((2, 24, 3))
    pose[1, 5] = [0.0, 0.8, 0.0]
    pose[:, 7] = [[0.0, 0.0, 3.0], [0.0, 0.0, 0.4 - 2 * np.pi + 3.0]]  # past pi: the short way
    read = interpolate(pose, np.array([0.5]))
    assert read.shape == (1, 24, 3)
    np.testing.assert_allclose(read[0, 5], [0, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(read[0, 7], [0, 0, 3.2 - 2 * np.pi], atol=1e-6)


def test_nlerp_is_nearly_slerp_for_small_steps():
    step = Rotation.from_rotvec(np.deg2rad(30) * np.array([[1.0, 0, 0]]))
    start = Rotation.random(50, random_state=0)
    pose = np.stack([start.as_rotvec(), (start * step).as_rotvec()])
    for position in (np.array([0.2]), np.array([0.7])):
        near, exact = (Rotation.from_rotvec(f(pose, position)[0]) for f in (temporal.nlerp, temporal.slerp))
        assert np.rad2deg((near.inv() * exact).magnitude()).max() < 0.1


def test_resampling_there_and_back():
    frames, fps = 37, 50.0
    there = temporal.linear(np.arange(frames, dtype=float), temporal.positions(frames, fps, 30))
    back = temporal.linear(there, np.minimum(np.arange(frames) * (30 / fps), len(there) - 1))
    np.testing.assert_allclose(back[:-2], np.arange(frames)[:-2], atol=1e-9)
    np.testing.assert_allclose(back[-2:], [35, 36], atol=1)  # in the last, shorter step
    np.testing.assert_array_equal(temporal.positions(1, 60, 30), [0])
    np.testing.assert_array_equal(temporal.positions(5, 60, 30), [0, 2, 4])


def test_a_spline_passes_through_the_frames_and_is_smooth_between():
    time = np.arange(20) / 5
    values = np.stack([np.sin(time), np.cos(time)], axis=-1)
    position = np.arange(0, 19.01, 0.25)
    found = temporal.spline(values, position)
    np.testing.assert_allclose(found[::4], values, atol=1e-6)
    np.testing.assert_allclose(found[8:-8, 0], np.sin(position / 5)[8:-8], atol=2e-5)
    assert temporal.spline(values, np.arange(20)) is values
    np.testing.assert_array_equal(temporal.spline(values[:1], position), np.tile(values[0], (77, 1)))
    np.testing.assert_allclose(temporal.spline(values, np.array([-1.0, 25.0])), values[[0, -1]], atol=1e-6)


def test_a_spline_through_rotations_in_6d():
    turns = np.stack([np.zeros(9), 0.2 * np.arange(9), np.zeros(9)], axis=-1).astype(np.float32)
    sixd = rotations.matrix_to_sixd(Rotation.from_rotvec(turns).as_matrix())
    found = rotations.sixd_to_matrix(temporal.spline(np.asarray(sixd), np.array([0.0, 3.5, 8.0])))
    expected = Rotation.from_rotvec([[0, 0, 0], [0, 0.7, 0], [0, 1.6, 0]]).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_local_means_leave_out_invalid_frames():
    valid = np.array([True, True, False, True, True])
    frames, weights = temporal.local_means(np.array([0.0, 1.0, 2.0, 4.0]), 2.0, valid)
    means = np.sum(np.arange(5.0)[frames] * weights, axis=1)
    np.testing.assert_allclose(means, [0, 2 / 3, 2, 4])  # 1: (0 / 2 + 1) / 1.5; 2: of 1 and 3
    _, nothing = temporal.local_means(np.array([2.0]), 1.0, valid)
    assert not nothing.any()


def test_interpolate_gaps():
    values = jnp.array([9.0, 1.0, 9.0, 9.0, 4.0, 9.0])[:, None]
    seen = jnp.array([False, True, False, False, True, False])
    np.testing.assert_allclose(temporal.interpolate_gaps(values, seen)[:, 0], [1, 1, 2, 3, 4, 4])
    unseen = jnp.zeros(6, bool)
    np.testing.assert_allclose(temporal.interpolate_gaps(values, unseen), values)


def test_smoothing_agrees_with_scipy_and_ignores_padding():
    counts = np.array([1, 5, 30, 36])
    slow = np.cumsum(np.random.default_rng(0).normal(0, 0.05, (4, 36, 3, 3)), axis=1)
    matrices = jax.jit(rotations.axis_angle_to_matrix)(slow.astype(np.float32))
    mask = np.arange(36) < counts[:, None]
    smooth = jax.jit(temporal.smooth_rotations)
    found = np.asarray(smooth(matrices, mask))
    sixd = np.asarray(matrices)[..., :2].swapaxes(-1, -2).reshape(4, 36, 3, 6)
    expected = np.zeros_like(sixd)
    for clip, count in enumerate(counts):
        still = np.pad(sixd[clip, :count], ((4, 4), (0, 0), (0, 0)), mode="edge")  # beyond both ends
        expected[clip, :count] = savgol_filter(still, 9, 2, axis=0)[4:-4]
    expected = np.asarray(jax.jit(rotations.sixd_to_matrix)(expected))
    np.testing.assert_allclose(found[mask], expected[mask], atol=1e-5)
    spoilt = np.where(mask[..., None, None, None], matrices, matrices[:, :1])
    np.testing.assert_array_equal(np.asarray(smooth(spoilt, mask))[mask], found[mask])


def test_a_sliding_mean_leaves_out_what_does_not_count():
    counted = np.array([True, True, False, True, False, False, False, True])
    values = np.array([1.0, 3.0, 100.0, 5.0, 100.0, 100.0, 100.0, 7.0])
    found = temporal.sliding_mean(values, counted, 3)
    np.testing.assert_allclose(found, [2, 2, 4, 5, 5, 0, 7, 7])
