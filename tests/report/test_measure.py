"""Measures that need no ground truth, on motion whose values are known."""

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS
from hpof_jax.motion import Motion
from hpof_jax.report import measure

FRAMES, RATE = 31, 30.0


def make(**changes):
    fields = dict(
        poses=np.zeros((FRAMES, 72)),
        betas=np.zeros(10),
        trans=np.zeros((FRAMES, 3)),
        mocap_framerate=RATE,
        gender="neutral",
        joints=np.zeros((FRAMES, 24, 3)),
        keypoints_2d=np.full((FRAMES, 33, 3), [100.0, 100.0, 1.0]),
        cam=np.ones((FRAMES, 3)),
        box=np.full((FRAMES, 3), 200.0),
        frame_index=np.arange(FRAMES),
        confidence=np.ones(FRAMES),
        image_size=(400, 400),
        focal_length=500.0,
        body="free_body",
    )
    return Motion(**{**fields, **changes})


def test_acceleration_is_that_of_a_falling_body_also_at_a_varying_frame_rate():
    times = np.cumsum(np.linspace(0.02, 0.05, FRAMES))
    joints = np.zeros((FRAMES, 24, 3))
    joints[..., 1] = (9.81 / 2 * times**2)[:, None]
    found = measure.acceleration(make(joints=joints, times=times))
    assert np.isnan(found[[0, -1]]).all()
    np.testing.assert_allclose(found[1:-1], 9.81, rtol=1e-3)
    assert np.isnan(measure.acceleration(make())[0])


def test_only_a_foot_that_rests_in_the_picture_can_slide():
    joints = np.zeros((FRAMES, 24, 3))
    for name in ("left_ankle", "left_foot", "right_ankle", "right_foot"):
        joints[:, SMPL_JOINTS.index(name), 0] = 0.5 * np.arange(FRAMES) / RATE  # 0.5 m/s
    landmarks = np.full((FRAMES, 33, 3), [100.0, 100.0, 1.0])
    landmarks[:, BLAZEPOSE_LANDMARKS.index("right_heel"), 0] += np.arange(FRAMES)  # 15 % of the box a second
    slides = measure.foot_slide(make(joints=joints, keypoints_2d=landmarks))
    np.testing.assert_allclose(slides["left foot"][2:-2], 0.5, rtol=1e-4)
    assert np.isnan(slides["right foot"]).all()


def test_the_error_of_a_part_is_that_of_its_visible_landmarks_around_a_frame():
    errors = np.full((FRAMES, 33), np.nan)
    errors[:, BLAZEPOSE_LANDMARKS.index("left_wrist")] = 2.0
    errors[15, BLAZEPOSE_LANDMARKS.index("left_wrist")] = 12.0
    parts = measure.part_errors(make(), errors)
    assert np.isnan(parts["right arm"]).all()
    np.testing.assert_allclose(parts["left arm"][[0, 12, 13, 15, 17, 18]], [2, 2, 4, 4, 4, 2])


def test_a_part_is_outside_if_most_of_its_landmarks_are():
    landmarks = np.full((FRAMES, 33, 3), [100.0, 100.0, 1.0])
    landmarks[10:, [BLAZEPOSE_LANDMARKS.index(name) for name in measure.PARTS["left leg"][1:]], 1] = 401
    found = measure.outside(make(keypoints_2d=landmarks))
    assert found["left leg"].tolist() == [False] * 10 + [True] * (FRAMES - 10)
    assert not found["right leg"].any()


def test_a_frame_without_landmarks_is_not_seen():
    landmarks = np.full((FRAMES, 33, 3), [100.0, 100.0, 1.0])
    landmarks[4] = 0
    seen = make(keypoints_2d=landmarks).seen
    assert seen.sum() == FRAMES - 1 and not seen[4]
