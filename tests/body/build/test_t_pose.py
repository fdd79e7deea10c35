import numpy as np

from hpof_jax.body.build.t_pose import to_t_pose
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_PARENTS


def test_t_pose_straightens_a_bent_arm(body, joints, landmarks):
    points = np.stack([joints[name] for name in SMPL_JOINTS])
    bent = points.copy()  # both arms hang by 45 degrees, forearms a little forward
    for side, sign in (("left", 1), ("right", -1)):
        at = {part: SMPL_JOINTS.index(f"{side}_{part}") for part in ("shoulder", "elbow", "wrist", "hand")}
        for start, end, bone in (
            ("shoulder", "elbow", (0.18, -0.18, 0)),
            ("elbow", "wrist", (0.14, -0.14, 0.14)),
            ("wrist", "hand", (0.05, -0.05, 0.05)),
        ):
            bent[at[end]] = bent[at[start]] + np.array(bone) * (sign, 1, 1)
    marks = np.stack([landmarks[name] for name in BLAZEPOSE_LANDMARKS])
    _, _, posed = to_t_pose(bent, marks, bent, np.eye(24))
    for side, sign in (("left", 1), ("right", -1)):
        arm = posed[SMPL_JOINTS.index(f"{side}_wrist")] - posed[SMPL_JOINTS.index(f"{side}_shoulder")]
        assert sign * arm[0] > 0.98 * np.linalg.norm(arm)
    lengths = [np.linalg.norm((p[1:] - p[list(SMPL_PARENTS[1:])]), axis=1) for p in (bent, posed)]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-9)
