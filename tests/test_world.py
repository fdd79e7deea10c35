"""From the camera frame to a world with a floor."""

import dataclasses

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.world import find_world, share_world, to_world, with_world


def homogeneous(points):
    return np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)


def test_the_person_stands_on_the_floor_near_the_origin_facing_the_camera(small_motion):
    body = load_body()
    world = to_world(small_motion, body)
    np.testing.assert_allclose(world.joints[0, 0, :2], 0, atol=1e-6)
    head, pelvis, feet = world.joints[:, 15], world.joints[:, 0], world.joints[:, [10, 11]]
    assert np.all(head[:, 2] > pelvis[:, 2]) and np.all(pelvis[:, 2] > feet[:, :, 2].max(axis=1))
    # Away from the camera is +y, and the chest points to the camera.
    assert world.joints[-1, 0, 1] > world.joints[0, 0, 1] + 0.1
    assert to_matrix(world.global_orient[0])[1, 2] < -0.9
    lowest = world_vertices(small_motion, world)[small_motion.seen, :, 2].min(axis=1)
    np.testing.assert_allclose(np.percentile(lowest, 5), 0, atol=1e-5)


def world_vertices(motion, world):
    to_world_ = np.linalg.inv(world.world_to_camera)
    return homogeneous(motion.vertices(load_body())) @ to_world_[:3].T


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-20, 15)])
def test_joints_and_camera_say_the_same_as_the_motion(small_motion, pitch, roll):
    world = to_world(small_motion, load_body(), camera_pitch=pitch, camera_roll=roll)
    in_camera = homogeneous(world.joints) @ world.world_to_camera[:3].T
    np.testing.assert_allclose(in_camera, small_motion.joints, atol=1e-5)
    # The pose, put through the body, gives the same joints.
    moved = dataclasses.replace(
        small_motion, poses=world.pose.reshape(-1, 72), trans=world.transl, joints=world.joints
    )
    np.testing.assert_allclose(moved.vertices(load_body()), world_vertices(small_motion, world), atol=1e-5)


def test_a_camera_that_moves_leaves_the_world_as_it_is(small_motion, filmed_by_hand, tmp_path):
    body = load_body()
    still, moved = (to_world(motion, body, camera_pitch=-10) for motion in (small_motion, filmed_by_hand))
    np.testing.assert_allclose(moved.joints, still.joints, atol=1e-5)
    np.testing.assert_allclose(to_matrix(moved.pose), to_matrix(still.pose), atol=1e-5)
    np.testing.assert_allclose(moved.transl, still.transl, atol=1e-5)
    # In each frame, the camera sees what the motion says.
    assert moved.world_to_camera.shape == (5, 4, 4)
    seen = np.einsum("tij,tkj->tki", moved.world_to_camera, homogeneous(moved.joints))[..., :3]
    np.testing.assert_allclose(seen, filmed_by_hand.joints, atol=1e-5)
    angles, moved_angles = (
        m.joint_angles(camera_pitch=-10, camera_roll=0) for m in (small_motion, filmed_by_hand)
    )
    for name, values in angles.items():
        np.testing.assert_allclose(moved_angles[name], values, atol=0.01)

    (kept,) = with_world([filmed_by_hand], body, camera_pitch=-10)
    kept.save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as file:
        np.testing.assert_allclose(file["world_trans"], still.transl, atol=1e-5)


@pytest.mark.parametrize(
    ("angles", "forward"),
    [
        (dict(camera_pitch=30), [0, np.cos(np.pi / 6), 0.5]),  # looks up
        (dict(camera_pitch=-30), [0, np.cos(np.pi / 6), -0.5]),
        (dict(camera_roll=30), [0, 1, 0]),
    ],
)
def test_pitch_and_roll_tilt_the_camera(small_motion, angles, forward):
    to_camera = to_world(small_motion, load_body(), **angles).world_to_camera[:3, :3]
    np.testing.assert_allclose(to_camera[2], forward, atol=1e-9)
    if "camera_roll" in angles:  # the right side of the camera is lower
        np.testing.assert_allclose(to_camera[0], [np.cos(np.pi / 6), 0, -0.5], atol=1e-9)


def test_the_world_is_kept_in_the_motion_and_its_file(small_motion, tmp_path):
    body = load_body()
    (motion,) = with_world([small_motion], body, camera_pitch=-10, camera_roll=2)
    assert motion.gravity_source == "given" and motion.gravity_sigma == 0
    kept = motion.to_world(body)
    np.testing.assert_array_equal(kept.world_to_camera, motion.world_to_camera)
    np.testing.assert_allclose(
        kept.joints, to_world(small_motion, body, camera_pitch=-10, camera_roll=2).joints, atol=1e-6
    )
    motion.save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as file:  # what a program that reads AMASS needs
        np.testing.assert_allclose(file["world_poses"], kept.pose.reshape(-1, 72), atol=1e-6)
        np.testing.assert_allclose(file["world_trans"], kept.transl, atol=1e-6)
    # Another tilt that is given replaces the stored one.
    assert abs(motion.to_world(body, camera_pitch=0).world_to_camera[2, 2]) < 1e-9


def test_people_with_different_worlds_get_a_common_one(small_motion):
    body = load_body()
    (one,) = with_world([small_motion], body, camera_pitch=-10, camera_roll=2)
    (other,) = with_world([small_motion], body, camera_pitch=5, camera_roll=2)
    first, second = share_world([one, other], body)
    np.testing.assert_array_equal(first.world_to_camera, second.world_to_camera)


def test_the_height_of_the_camera_gives_its_pitch_or_the_floor(small_motion):
    body = load_body()
    true, _ = find_world([small_motion], body, -12, 0)
    height = -true[:3, 2] @ true[:3, 3]
    found, gravity = find_world([small_motion], body, None, 0, height)
    assert abs(gravity.pitch + 12) < 0.1
    np.testing.assert_allclose(found, true, atol=0.01)
    floor, gravity = find_world([small_motion], body, -12, 0, height + 0.5)
    assert gravity.pitch == -12
    np.testing.assert_allclose(-floor[:3, 2] @ floor[:3, 3], height + 0.5)
    with pytest.raises(UserError, match="The camera's height is -1 metres: give one above 0 and below 100"):
        find_world([small_motion], body, camera_height=-1)
    with pytest.raises(UserError, match="With a camera 50 m above the floor, nobody stands on the floor"):
        find_world([small_motion], body, camera_height=50)


def test_people_of_one_video_keep_their_distances(small_motion):
    shift = np.array([1.0, 0.0, 0.5], np.float32)
    other = dataclasses.replace(
        small_motion, trans=small_motion.trans + shift, joints=small_motion.joints + shift
    )
    first, second = share_world([small_motion, other], load_body(), camera_pitch=0, camera_roll=0)
    np.testing.assert_allclose(
        second.joints - first.joints, np.broadcast_to([1, 0.5, 0], (5, 24, 3)), atol=1e-5
    )


def part(motion, frames):
    arrays = "poses trans joints keypoints_2d cam box confidence frame_index times camera_rotation camera_position".split()
    return dataclasses.replace(motion, **{name: getattr(motion, name)[frames] for name in arrays})


def test_wrong_input_gives_one_sentence(small_motion):
    body = load_body()
    with pytest.raises(UserError, match="The motion has no frame"):
        to_world(part(small_motion, slice(0)), body)
    with pytest.raises(UserError, match="made with the body 'SMPL_MALE' and not with 'free_body'"):
        to_world(dataclasses.replace(small_motion, body="SMPL_MALE"), body)
    with pytest.raises(UserError, match="The camera's pitch is nan degrees"):
        to_world(small_motion, body, camera_pitch=float("nan"))
    with pytest.raises(UserError, match="The camera's roll is 200 degrees: give one from -180 to 180"):
        to_world(small_motion, body, camera_roll=200)
