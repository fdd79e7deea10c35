import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax import moving_camera
from hpof_jax.errors import UserError
from hpof_jax.observe import camera_motion
from hpof_jax.observe.background import Background
from hpof_jax.observe.clip import Observations
from tests.observe.test_camera_motion import FOCAL_LENGTH, IMAGE_SIZE, pan, seen


def observed(background: Background | None, first: int = 0, frames: int = 60) -> Observations:
    return Observations(
        landmarks_2d=np.zeros((frames, 33, 3), np.float32),
        landmarks_3d=np.zeros((frames, 33, 3), np.float32),
        seen=np.ones(frames, bool),
        image_size=IMAGE_SIZE,
        focal_length=np.float32(FOCAL_LENGTH),
        fps=np.float32(30),
        first_frame=first,
        background=background,
    )


def test_people_of_one_video_share_its_camera(small_motion, caplog):
    rotations = pan(60)
    background = seen(rotations, np.random.default_rng(0))
    people = [observed(background, 5, 20), observed(background, 20, 30)]
    small_motion = dataclasses.replace(small_motion, frame_index=20 + np.arange(5))
    (motion,), camera = moving_camera.with_camera([small_motion], people)
    assert len(camera) == 60 and camera.kinds == ("rotating",)
    with caplog.at_level("INFO"):
        moving_camera.log(camera, np.arange(60) / 30)
    assert caplog.messages == ["The camera turns by up to 35 degrees."]

    np.testing.assert_allclose(motion.camera_rotation, camera.rotations[20:25], atol=1e-6)
    assert motion.camera_motion == "rotating" and not motion.camera_position.any()


@pytest.fixture
def walker(small_motion):
    """Somebody whose left foot stands still, seen by a camera that walks 2 m sideways in 60 frames, and that camera."""
    frames = 60
    way = np.linspace([0, 0, 0], [2.0, 0, 0], frames)
    turns = Rotation.from_euler("y", np.linspace(0, 10, frames)[:, None], degrees=True).as_matrix()
    joints = np.zeros((frames, 24, 3)) + [0.5, 1.0, 4.0]
    joints[:, [8, 11], 2] += np.sin(np.arange(frames) / 3)[:, None]  # the right foot moves
    seen_joints = np.einsum("tij,tkj->tki", turns, joints - way[:, None])
    camera = dataclasses.replace(
        camera_motion.static(frames), rotations=turns, positions=way / 0.3, kinds=("moving",)
    )
    repeated = np.arange(frames) % 5
    motion = dataclasses.replace(
        small_motion,
        joints=seen_joints,
        confidence=np.ones(frames),
        frame_index=np.arange(frames),
        times=np.arange(frames) / 30,
        mocap_framerate=30.0,
        camera_rotation=None,
        camera_position=None,
        **{
            name: getattr(small_motion, name)[repeated]
            for name in ("poses", "trans", "keypoints_2d", "cam", "box")
        },
    )
    return motion, camera


def test_standing_feet_give_the_scale(walker, caplog):
    motion, camera = walker
    found = moving_camera.in_metres(camera, [motion])
    assert found.kinds == ("moving",)
    np.testing.assert_allclose(found.positions[-1], [2, 0, 0], atol=0.05)
    with caplog.at_level("INFO"):
        moving_camera.log(found, motion.times)
    assert caplog.messages == [
        "The camera moves: it turns by up to 10 degrees and gets up to 2.0 m from its first place."
    ]


def test_without_steps_only_the_rotation_is_kept(walker, caplog):
    motion, camera = walker
    nobody = dataclasses.replace(motion, confidence=np.zeros(60))
    found = moving_camera.in_metres(camera, [nobody])
    assert found.kinds == ("rotating",) and not found.positions.any()
    moving_camera.log(found, motion.times)
    assert "the people's steps do not tell how far" in caplog.messages[-1]


def test_a_pan_replaces_an_assumed_focal_length_and_no_other():
    background = seen(pan(60), np.random.default_rng(0))
    wrong = dataclasses.replace(observed(background), focal_length=np.float32(700))
    (found,) = moving_camera.calibrated([wrong])
    assert found.focal_length == pytest.approx(FOCAL_LENGTH, rel=0.02)
    assert found.focal_length_source == "background"
    given = dataclasses.replace(wrong, focal_length_source="given")
    for people, mode in (([given], "auto"), ([wrong], "static")):
        assert moving_camera.calibrated(people, mode)[0].focal_length == 700


def test_static_if_the_user_says_so_or_nothing_is_known_of_the_background():
    background = seen(pan(60), np.random.default_rng(0))
    for people, mode in (([observed(background)], "static"), ([observed(None)], "auto")):
        camera = moving_camera.find(people, mode)
        assert camera.kinds == ("static",)
        np.testing.assert_array_equal(camera.rotations, np.tile(np.eye(3), (60, 1, 1)))


def test_an_unknown_motion_is_said(caplog):
    nothing = Background(
        np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros(61, int), np.array([0])
    )
    camera = moving_camera.find([observed(nothing)])
    moving_camera.log(camera, np.arange(60) / 30)
    assert caplog.messages == [
        "The camera's motion is unknown, and it is taken as static: the background has too few points that can be "
        "followed."
    ]


def test_another_mode_is_refused():
    with pytest.raises(UserError, match="There is no camera 'x'"):
        moving_camera.find([observed(None)], "x")
