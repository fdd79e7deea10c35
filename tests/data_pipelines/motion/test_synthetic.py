import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipelines.motion.skeleton import joint_positions
from data_pipelines.motion.synthetic import sample_gait, sample_poses
from hpof_jax.body.joint_limits import JOINT_LIMITS

SOURCES = [sample_gait, sample_poses]


@pytest.fixture(scope="module")
def clips():
    return {source: source(np.random.default_rng(0), 48, 64) for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES)
def test_the_motion_depends_on_the_seed_alone(source):
    (a, at), (b, bt) = (source(np.random.default_rng(5), 20, 6) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(at, bt)
    assert not np.allclose(a, source(np.random.default_rng(6), 20, 6)[0])


@pytest.mark.parametrize("frames, batch", [(1, 1), (7, 3), (90, 2), (16, 0)])
def test_shapes(frames, batch):
    for source in SOURCES:
        pose, transl = source(np.random.default_rng(0), frames, batch)
        assert pose.shape == (batch, frames, 24, 3) and transl.shape == (batch, frames, 3)
        assert pose.dtype == transl.dtype == np.float32


@pytest.mark.parametrize("source", SOURCES)
def test_joints_stay_inside_their_limits(clips, source):
    pose, _ = clips[source]
    assert np.isfinite(pose).all()
    assert np.all(pose[..., 1:, :] >= JOINT_LIMITS[1:, :, 0] - 1e-6)
    assert np.all(pose[..., 1:, :] <= JOINT_LIMITS[1:, :, 1] + 1e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_the_body_is_on_the_floor(clips, source):
    pose, transl = clips[source]
    lowest = joint_positions(pose, transl)[..., 1].min(axis=-1)
    assert lowest.min() > -0.06 and np.percentile(lowest, 90) < 0.12


@pytest.mark.parametrize("source", SOURCES)
def test_motion_is_smooth(clips, source):
    pose, transl = clips[source]
    local = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*pose.shape, 3)
    step = np.swapaxes(local[:, :-1], -1, -2) @ local[:, 1:]
    degrees = np.degrees(np.arccos(np.clip((np.trace(step, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    assert degrees.max() < 45  # 1350 degrees a second
    assert np.linalg.norm(np.diff(transl, axis=1), axis=-1).max() < 0.35  # 10 m/s


def test_left_and_right_legs_alternate_and_arms_swing_against_them(clips):
    pose, _ = clips[sample_gait]

    def correlation(a, b):
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))

    places = joint_positions(pose, np.zeros(3))
    heading = (
        Rotation.from_rotvec(pose[:, :, 0].reshape(-1, 3)).as_matrix()[:, :, 2].reshape(*pose.shape[:2], 3)
    )
    ahead = np.einsum("btjc,btc->btj", places, heading)
    assert np.all(correlation(pose[:, :, 1, 0], pose[:, :, 2, 0]) < -0.6)
    assert np.median(correlation(ahead[:, :, 7], ahead[:, :, 20])) < -0.5  # left ankle, left wrist
    assert np.median(correlation(ahead[:, :, 7], ahead[:, :, 21])) > 0.5  # left ankle, right wrist


def test_walkers_move_where_they_face_and_stand_upright(clips):
    pose, transl = clips[sample_gait]
    turns = Rotation.from_rotvec(pose[:, :, 0].reshape(-1, 3)).as_matrix().reshape(*pose.shape[:2], 3, 3)
    assert turns[:, :, 1, 1].min() > 0.85
    velocity = np.gradient(transl, axis=1) * 30
    along = np.einsum("btc,btc->bt", velocity[..., [0, 2]], turns[:, :, [0, 2], 2]).mean(axis=1)
    assert np.mean(along > 0.3) > 0.8 and np.median(along) < 4.0


def test_some_bodies_are_upside_down_and_joints_reach_their_limits():
    pose, _ = sample_poses(np.random.default_rng(0), 48, 256)
    up = Rotation.from_rotvec(pose[:, :, 0].reshape(-1, 3)).as_matrix()[:, 1, 1].reshape(pose.shape[:2])
    assert 0.01 < np.mean(up.max(axis=1) < -0.5) < 0.1
    reach = pose.reshape(-1, 24, 3)[..., None] / np.where(JOINT_LIMITS == 0, 1, JOINT_LIMITS)
    assert reach[:, 1:].max(axis=0).min() > 0.8


def test_some_bodies_lie_and_most_stand(clips):
    heights = clips[sample_poses][1][..., 1]
    assert 0.02 < np.mean(heights.min(axis=1) < 0.35) < 0.6
    assert np.mean(heights > 0.7) > 0.4
