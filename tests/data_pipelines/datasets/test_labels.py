import numpy as np

from data_pipelines.datasets import base, labels
from hpof_jax.body.skeletons import SMPL_JOINTS
from tests.data_pipelines.datasets.conftest import FRAMES, a_person, posed


def sequence(**arrays):
    return base.Sequence(
        person="0",
        fps=30.0,
        image_size=(240, 320),
        frame_index=np.arange(FRAMES),
        valid=np.arange(FRAMES) > 2,
        boxes=np.tile([100.0, 100, 50], (FRAMES, 1)),
        **arrays,
    )


def test_the_free_body_gets_the_persons_pose_limbs_and_place():
    pose, trans, betas, joints = a_person()
    found = labels.labels_of(sequence(pose=pose, transl=trans, betas=betas, joints=joints))
    assert found["has_smpl"] and found["has_3d"]
    assert not found["pose"][:3].any(), "frames that are not valid have no label"
    np.testing.assert_allclose(found["pose"][3:], pose[3:], atol=1e-6)
    again = posed(found["pose"], found["transl"], found["betas"])[3:]
    limbs = [
        SMPL_JOINTS.index(f"left_{name}") for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    ]
    # The prior draws towards the mean: about a millimetre on each bone.
    assert np.linalg.norm(again - joints[3:], axis=-1)[:, limbs].mean() < 0.01


def test_a_tall_person_gets_long_bones():
    _, _, _, joints = a_person()
    tall = labels.fit_betas(1.1 * joints, SMPL_JOINTS)
    small = labels.fit_betas(0.9 * joints, SMPL_JOINTS)
    knee, ankle = SMPL_JOINTS.index("left_knee"), SMPL_JOINTS.index("left_ankle")
    zero = np.zeros((1, 24, 3)), np.zeros((1, 3))
    shin = [np.linalg.norm(posed(*zero, b)[0, knee] - posed(*zero, b)[0, ankle]) for b in (tall, small)]
    wanted = np.median(np.linalg.norm(joints[:, knee] - joints[:, ankle], axis=-1))
    np.testing.assert_allclose(shin, [1.1 * wanted, 0.9 * wanted], atol=0.012)


def test_without_points_in_3d_there_is_no_shape_and_so_no_smpl_label():
    pose, trans, betas, _ = a_person()
    found = labels.labels_of(sequence(pose=pose, transl=trans, betas=betas))
    assert not found["has_smpl"] and not found["has_3d"] and not found["pose"].any()


def test_keypoints_in_3d_alone_are_3d_without_smpl():
    points = np.ones((FRAMES, len(base.POINTS), 4), np.float32)
    found = labels.labels_of(sequence(keypoints_3d=points))
    assert found["has_3d"] and not found["has_smpl"]
