"""Joint centres from markers under the names that programs use."""

import numpy as np
import pytest

from hpof_jax.body.anatomical import ANATOMICAL_CENTRES, harrington_hips
from hpof_jax.errors import UserError
from hpof_jax.sessions.centres import KEYPOINTS, MARKERS, joint_centres

FRAMES = 4


def markers(names):
    rng = np.random.default_rng(len(names))
    return {name: rng.normal(size=(FRAMES, 3)) for name in names}


@pytest.mark.parametrize("suffix", ["_study", ""])
def test_opencaps_markers(suffix):
    pairs = {"knee": ("knee", "mknee"), "ankle": ("ankle", "mankle")}
    pairs |= {"elbow": ("lelbow", "melbow"), "wrist": ("lwrist", "mwrist")}
    names = [f"{side}_{part}" for side in "rL" for pair in pairs.values() for part in pair]
    names += [f"{side}{part}" for side in "rL" for part in ("_shoulder", ".ASIS", ".PSIS")]
    found = markers([f"{name}{suffix}" for name in names])
    detected = markers(["RKnee", "LHip"])
    centres, kinds = joint_centres(found | detected)
    assert {*centres} == {*ANATOMICAL_CENTRES} and {*kinds.values()} == {MARKERS}
    for part, pair in pairs.items():
        middle = sum(found[f"L_{name}{suffix}"] for name in pair) / 2
        np.testing.assert_allclose(centres[f"left_{part}"], middle)
    pelvis = [found[f"{side}.{name}{suffix}"] for name in ("ASIS", "PSIS") for side in "rL"]
    np.testing.assert_allclose(centres["right_hip"], harrington_hips(*pelvis)[0])
    # The shoulder is 17 % of the acromia's distance below the acromion.
    width = np.linalg.norm(found[f"r_shoulder{suffix}"] - found[f"L_shoulder{suffix}"], axis=-1)
    below = np.linalg.norm(centres["left_shoulder"] - found[f"L_shoulder{suffix}"], axis=-1)
    np.testing.assert_allclose(below, 0.17 * width)


def test_a_hip_that_is_a_marker_itself():
    found = markers(["RHJC_study", "LHJC_study", "RKNE", "RKNM", "LKNE", "LKNM"])
    centres, _ = joint_centres(found)
    np.testing.assert_array_equal(centres["left_hip"], found["LHJC_study"])


def test_keypoints_of_a_detector_are_named_as_such():
    found = markers(["RHip", "LHip", "RKnee", "LKnee", "RAnkle", "Nose"])
    centres, kinds = joint_centres(found)
    assert [*centres] == ["left_hip", "right_hip", "left_knee", "right_knee", "right_ankle"]
    assert {*kinds.values()} == {KEYPOINTS}
    np.testing.assert_array_equal(centres["right_ankle"], found["RAnkle"])


def test_unknown_names():
    with pytest.raises(UserError, match=r"a, b, \.\.\.\) give only 0 joint centres"):
        joint_centres(markers(["a", "b"]))
