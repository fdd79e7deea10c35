"""Joint names, the y-up frame and the body at rest."""

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.export.skeleton import LEAVES, Y_UP, joint_names, rest_body, y_up
from hpof_jax.world import to_world


def test_the_rest_body_stands_on_the_floor_facing_z():
    joints, vertices = rest_body(load_body(), np.zeros(10))
    assert joints.shape == (24, 3) and vertices.shape == (6890, 3)
    np.testing.assert_allclose([joints[0, 0], vertices[:, 1].min(), joints[0, 2]], 0, atol=1e-9)
    assert joints[10, 2] > joints[7, 2] and joints[16, 0] > 0 > joints[17, 0]  # toes forward, left is +x


def test_y_up_turns_the_world_upright(small_motion):
    world = to_world(small_motion, load_body())
    rotations, pelvis = y_up(world)
    np.testing.assert_allclose(pelvis[:, 1], world.joints[:, 0, 2])
    np.testing.assert_allclose(pelvis[:, 2], -world.joints[:, 0, 1])
    assert len(rotations) == 5 * 24
    # The root stands upright, and faces the camera, which is +z.
    root = rotations[0].as_matrix()
    assert root[1, 1] > 0.9 and root[2, 2] > 0.9
    np.testing.assert_allclose(Y_UP @ [0, 0, 1], [0, 1, 0])


def test_joints_have_names_of_smpl_or_mixamo():
    assert joint_names("smpl")[4] == "left_knee"
    assert joint_names("mixamo")[4] == "mixamorig:LeftLeg"
    assert len({*joint_names("mixamo")}) == 24
    assert [joint_names("smpl")[joint] for joint in LEAVES] == [
        "left_foot",
        "right_foot",
        "head",
        "left_hand",
        "right_hand",
    ]
    with pytest.raises(UserError, match="no joint names 'unity': choose one of smpl, mixamo"):
        joint_names("unity")
