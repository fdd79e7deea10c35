import numpy as np

from data_pipelines.simulate import landmark_tables as tables
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, BLAZEPOSE_MIRROR

AT = BLAZEPOSE_LANDMARKS.index


def test_parts_and_limbs_of_an_arm_and_a_leg():
    assert tables.PART[AT("nose")] == 0 and tables.LIMB[AT("nose")] == 1
    arm = ["left_shoulder", "left_elbow", "left_wrist", "left_thumb"]
    leg = ["right_hip", "right_knee", "right_ankle", "right_heel", "right_foot_index"]
    assert tables.PART[[AT(name) for name in arm]].tolist() == [1, 5, 7, 9]
    assert tables.LIMB[[AT(name) for name in arm]].tolist() == [0, 2, 2, 2]
    assert tables.PART[[AT(name) for name in leg]].tolist() == [4, 12, 14, 16, 16]
    assert tables.LIMB[[AT(name) for name in leg]].tolist() == [0, 5, 5, 5, 5]


def test_bones_and_landmarks_are_inverse_and_a_bone_starts_nearer_to_the_trunk():
    np.testing.assert_allclose(tables.TO_BONES @ tables.FROM_BONES, np.eye(33), atol=1e-6)
    points = np.random.default_rng(0).normal(size=(33, 3))
    bones = tables.TO_BONES @ points
    np.testing.assert_allclose(bones[AT("left_wrist")], points[AT("left_wrist")] - points[AT("left_elbow")])
    np.testing.assert_allclose(bones[AT("left_hip")], points[AT("left_hip")])


def test_left_and_right_are_treated_alike():
    for table in (tables.NOISE_SHARE, tables.HIPS, tables.BODY_SIZE, *tables.SWAP_GROUPS):
        np.testing.assert_array_equal(table, table[BLAZEPOSE_MIRROR])
    np.testing.assert_array_equal(tables.LIMB_REACH[[1, 0, 3, 2]], tables.LIMB_REACH[:, BLAZEPOSE_MIRROR])


def test_each_ball_is_a_mean_of_landmarks():
    np.testing.assert_allclose(tables.BALLS.sum(axis=1), 1, atol=1e-6)
    assert tables.BALLS.shape == (6, 33) and ((tables.BALL_RADII > 0.05) & (tables.BALL_RADII < 0.2)).all()
