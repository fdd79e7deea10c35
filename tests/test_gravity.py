"""The direction of gravity in the camera frame, from upright people."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.gravity import angles_of, find_gravity, up_of


def filmed(motion, pitch, roll, frames=60):
    """A motion's first frame, held, as a camera of this tilt sees it."""
    rows = np.zeros(frames, int)
    arrays = "poses trans joints keypoints_2d cam box confidence camera_rotation camera_position".split()
    held = {name: getattr(motion, name)[rows] for name in arrays}
    turn = Rotation.from_euler("XZ", [pitch, roll], degrees=True).inv().as_matrix()
    held["joints"] = held["joints"] @ turn.T
    times = np.arange(frames) / motion.mocap_framerate
    return dataclasses.replace(motion, **held, times=times, frame_index=np.arange(frames))


def test_the_tilt_of_the_camera_follows_from_people_who_stand_upright(small_motion):
    level = find_gravity([filmed(small_motion, 0, 0)])
    tilted = find_gravity([filmed(small_motion, -20, 3)])
    assert level.source == tilted.source == "estimated"
    assert abs(level.pitch) < 8 and abs(level.roll) < 5
    assert -24 < tilted.pitch - level.pitch < -12 and 0 < tilted.roll - level.roll < 4
    assert 2 < tilted.sigma < 8
    np.testing.assert_allclose(tilted.up, up_of(tilted.pitch, tilted.roll))


def test_many_people_say_as_much_as_one_and_outliers_count_less(small_motion):
    one, other = filmed(small_motion, -10, 0), filmed(small_motion, 30, 0, frames=20)
    alone = find_gravity([one])
    assert abs(find_gravity([one, one]).pitch - alone.pitch) < 1e-6
    assert abs(find_gravity([one, other]).pitch - alone.pitch) < 5


def test_without_evidence_the_camera_is_level(small_motion):
    lying = filmed(small_motion, 0, 0)
    lying = dataclasses.replace(lying, keypoints_2d=np.zeros((60, 33, 3)))
    for motions in ([small_motion], [lying], []):  # too short, not seen, nobody
        found = find_gravity(motions)
        assert (found.pitch, found.roll, found.source) == (0.0, 0.0, "level") and found.sigma > 8


def test_planted_feet_lie_in_one_plane(gliding_motion):
    """A person walks away from the camera on a level floor."""
    body, way = load_body(), np.zeros((60, 3), np.float32)
    way[:, 2] = 0.8 * np.repeat(np.arange(6), 10)  # steps: the body jumps forwards and stands
    pose = gliding_motion.pose.copy()
    pose[30:] = pose[:30]  # both feet down
    moved = dataclasses.replace(
        gliding_motion,
        poses=pose.reshape(-1, 72),
        joints=np.tile(gliding_motion.joints[:1], (60, 1, 1)) + way[:, None],
        trans=gliding_motion.trans[:1] + way,
    )
    turn = Rotation.from_euler("X", -8, degrees=True).as_matrix()  # as if seen by a camera that looks up
    tilted = dataclasses.replace(moved, joints=moved.joints @ turn.T)
    free, held = find_gravity([tilted]), find_gravity([tilted], body=body)
    assert abs(held.pitch - 8) < abs(free.pitch - 8) and held.sigma < free.sigma
    assert abs(held.pitch - 8) < 1.5


def test_given_angles_are_kept(small_motion):
    assert find_gravity([small_motion], -12.0, 3.0).source == "given"
    half = find_gravity([filmed(small_motion, 0, 0)], pitch=-12.0)
    assert half.pitch == -12.0 and half.source == "estimated"
    with pytest.raises(UserError, match="The camera's pitch is 91 degrees: give one from -90 to 90"):
        find_gravity([], 91, 0)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-30, 10), (20, -170), (80, 5)])
def test_angles_and_the_vertical_say_the_same(pitch, roll):
    np.testing.assert_allclose(angles_of(3 * up_of(pitch, roll)), (pitch, roll), atol=1e-9)
