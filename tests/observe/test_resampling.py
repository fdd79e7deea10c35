import numpy as np
import pytest

from hpof_jax.observe.resampling import resample
from tests.observe.test_clip import observations


@pytest.mark.parametrize("fps, new_fps", [(60, 30), (25, 30), (24, 30), (30, 50), (29.97, 50), (240, 30)])
def test_motion_linear_in_time_stays_so(fps, new_fps):
    before = observations(7.0 + np.arange(41) / fps, fps=fps)
    after = resample(before, new_fps)
    time = np.minimum(np.arange(len(after)) / new_fps, 40 / fps)
    assert time[-1] == 40 / fps and (len(after) - 2) / new_fps < 40 / fps  # no sample too few, none too many
    np.testing.assert_allclose(after.landmarks_2d[:, 0, 0], 7 + time, atol=1e-5)
    np.testing.assert_allclose(after.landmarks_3d, -after.landmarks_2d)
    assert after.seen.all() and after.fps == np.float32(new_fps) and after.landmarks_2d.dtype == np.float32


def test_motion_linear_in_time_stays_so_at_a_varying_rate():
    steps = np.where(np.arange(60) < 30, 1 / 60, 1 / 15)
    times = 2.0 + np.concatenate([[0], np.cumsum(steps)])
    for fps in (30, 12, 50):
        after = resample(observations(times, fps=24.4, times=times), fps)
        inside = after.times < times[-1] - 0.1
        np.testing.assert_allclose(after.times, 2 + np.arange(len(after)) / fps)
        np.testing.assert_allclose(after.landmarks_2d[inside, 0, 0], after.times[inside], atol=1e-4)
        assert after.times[-2] < times[-1] <= after.times[-1] + 1e-9 and after.seen.all()


def test_nothing_is_mixed_across_a_cut():
    values, shots = np.repeat([1.0, 5.0, 9.0], [10, 9, 7]), np.array([0, 10, 19])
    for fps, new_fps in ((60, 30), (25, 30), (240, 30), (30, 50)):
        after = resample(observations(values, fps=fps, shots=shots), new_fps)
        starts = np.append(after.shots, len(after))
        assert after.shots[0] == 0 and np.all(np.diff(starts) > 0) and len(starts) <= 4
        numbers = np.searchsorted(after.shots, np.arange(len(after)), side="right") - 1
        assert set(after.landmarks_2d[:, 0, 0]) <= {1, 5, 9}
        np.testing.assert_array_equal(np.diff(after.landmarks_2d[:, 0, 0]) != 0, np.diff(numbers) != 0)
        if len(starts) == 4:
            cut = after.times[after.shots[1:]] - shots[1:] / fps
            assert np.all((cut > -1e-9) & (cut < 1 / new_fps))  # the first sample after the cut


def test_same_rate_is_left_alone():
    for fps in (30.0, 29.97, 30.2):
        before = observations(np.arange(5), fps=fps)
        assert resample(before, 30) is before


def test_another_rate_has_no_flow():
    before = observations(np.arange(5), flow=True)
    assert resample(before, 30.0).flow is before.flow
    after = resample(before, 15.0)
    assert (after.flow, after.flow_valid, after.flow_box) == (None, None, None)


def test_unseen_frames_are_not_mixed_in():
    before = observations([1, 2, 3, 4, 5], seen=[True, True, False, True, True], fps=15, masks=True)
    after = resample(before, 30)
    assert after.seen.tolist() == [True, True, True, False, False, False, True, True, True]
    np.testing.assert_allclose(after.landmarks_2d[:, 5, 1], [1, 1.5, 2, 0, 0, 0, 4, 4.5, 5])
    assert after.masks[:, 0, 0].tolist() == [1, 1, 2, 0, 0, 0, 4, 4, 5]
    np.testing.assert_allclose(after.features[:, 7], [1, 1.5, 2, 0, 0, 0, 4, 4.5, 5])
    assert not after.mask_to_frame[3:6].any() and (after.mask_to_frame[6:] == before.mask_to_frame[-1]).all()
    halved = resample(observations([1, 2, 3], seen=[True, False, True], fps=60), 30)
    assert halved.seen.tolist() == [True, True]  # it falls on seen frames only


def test_a_lower_rate_averages_the_jitter():
    jitter = np.random.default_rng(0).normal(size=401)
    halved = resample(observations(jitter, fps=60), 30).landmarks_2d[:, 0, 0]
    assert len(halved) == 201
    np.testing.assert_allclose(
        halved[1:-1], (jitter[1:-2:2] + 2 * jitter[2:-1:2] + jitter[3::2]) / 4, atol=1e-6
    )
