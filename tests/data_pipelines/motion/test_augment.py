import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipelines.motion import augment
from hpof_jax.body.files import load_body
from hpof_jax.body.model import posed_joints
from hpof_jax.body.skeletons import SMPL_JOINTS, SMPL_MIRROR
from hpof_jax.geometry.rotations import axis_angle_to_matrix

CLIPS, FRAMES = 6, 20


@pytest.fixture
def motion():
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.2, (CLIPS, FRAMES, 24, 3)).astype(np.float32)
    transl = rng.normal(0, 1, (CLIPS, FRAMES, 3)).astype(np.float32)
    return pose, transl


def degrees(axis_angle):
    return np.rad2deg(np.linalg.norm(axis_angle, axis=-1))


def test_the_mirrored_motion_moves_the_mirrored_joints(motion):
    body = load_body()
    pose, transl = motion
    betas = np.zeros((CLIPS, 1, 10), np.float32)
    place = jax.jit(lambda pose, transl: posed_joints(body, betas, axis_angle_to_matrix(pose), transl))
    joints, mirrored = np.asarray(place(pose, transl)), np.asarray(place(*augment.mirror(pose, transl)))
    np.testing.assert_allclose(mirrored, joints[:, :, SMPL_MIRROR] * [-1, 1, 1], atol=2e-3)


def test_mirroring_twice_changes_nothing(motion):
    twice = augment.mirror(*augment.mirror(*motion))
    np.testing.assert_array_equal(twice[0], motion[0])
    np.testing.assert_array_equal(twice[1], motion[1])


def test_windows_stay_inside_their_clips_and_turn_round_at_the_end():
    rng = np.random.default_rng(0)
    lengths = np.array([1, 2, 7, 50, 500])
    for speed in ((1.0, 1.0), (0.6, 1.7)):
        position = augment.draw_positions(rng, lengths, 40, speed)
        assert position.shape == (5, 40)
        assert position.min() >= 0
        assert np.all(position <= lengths[:, None] - 1)
    steps = np.diff(augment.draw_positions(rng, np.array([7, 500]), 40), axis=1)
    np.testing.assert_array_equal(np.abs(steps), 1)
    assert steps[0].min() == -1
    assert steps[1].min() == 1


def test_speed_lies_within_its_bounds():
    position = augment.draw_positions(np.random.default_rng(0), np.full(500, 1000), 10, (0.6, 1.7))
    speed = np.diff(position, axis=1)
    assert 0.6 <= speed.min() < 0.65
    assert 1.6 < speed.max() <= 1.7 + 1e-9


def test_perturbation_turns_joints_by_its_sigmas():
    pose = np.zeros((300, 8, 24, 3), np.float32)
    turned = augment.perturb(np.random.default_rng(0), pose, np.ones(300))
    spread = degrees(turned).mean((0, 1))
    by_name = dict(zip(SMPL_JOINTS, spread, strict=True))
    assert by_name["pelvis"] < 1e-3
    assert 15 < by_name["left_shoulder"] < 50
    assert by_name["left_shoulder"] > 2 * by_name["left_wrist"] > 4
    still = augment.perturb(np.random.default_rng(0), pose, np.zeros(300))
    np.testing.assert_allclose(still, 0, atol=1e-6)


def test_perturbation_is_smooth():
    pose = np.zeros((50, 30, 24, 3), np.float32)
    turned = augment.perturb(np.random.default_rng(0), pose, np.ones(50))
    assert degrees(np.diff(turned, axis=1)).max() < 20


def test_leaning_turns_the_root_alone_and_within_its_limit(motion):
    pose = motion[0].copy()
    sigma = np.array([0, 100, 100, 100, 100, 0.0])
    leaning = augment.lean(np.random.default_rng(0), pose, sigma, limit=30.0)
    np.testing.assert_array_equal(leaning[:, :, 1:], pose[:, :, 1:])
    np.testing.assert_array_equal(leaning[[0, 5]], pose[[0, 5]])
    before, after = (Rotation.from_rotvec(p[1:5, :, 0].reshape(-1, 3)) for p in (pose, leaning))
    angle = np.rad2deg((after * before.inv()).magnitude())
    assert 5 < angle.max() < 30 * 1.3 * np.sqrt(2) + 0.1


def test_recombination_takes_whole_limbs_from_another_clip(motion):
    pose = motion[0]
    mixed = augment.recombine(np.random.default_rng(0), pose, 1.0, augment.ARMS)
    rest = np.setdiff1d(np.arange(24), augment.ARMS)
    np.testing.assert_array_equal(mixed[:, :, rest], pose[:, :, rest])
    owners = [
        np.flatnonzero((pose[:, :, augment.ARMS] == clip[:, augment.ARMS]).all((1, 2, 3))) for clip in mixed
    ]
    assert sorted(int(owner[0]) for owner in owners) == list(range(CLIPS))
    np.testing.assert_array_equal(augment.recombine(np.random.default_rng(0), pose, 0.0, augment.ARMS), pose)


def test_augmentation_repeats_with_its_seed_and_leaves_its_arguments_alone(motion):
    before = [array.copy() for array in motion]
    first = augment.augment(np.random.default_rng(3), *motion)
    again = augment.augment(np.random.default_rng(3), *motion)
    other = augment.augment(np.random.default_rng(4), *motion)
    for a, b, c, argument, copy in zip(first, again, other, motion, before, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(argument, copy)
        assert a.dtype == np.float32 and np.isfinite(a).all()
        assert not np.array_equal(a, c)
