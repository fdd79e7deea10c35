import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax import moving_camera
from hpof_jax.errors import UserError
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


def test_people_of_one_video_share_its_camera(caplog):
    rotations = pan(60)
    background = seen(rotations, np.random.default_rng(0))
    whole, later = moving_camera.find([observed(background), observed(background, 20, 30)])
    assert whole.kinds == later.kinds == ("rotating",)
    np.testing.assert_array_equal(later.rotations, whole.rotations[20:50])
    with caplog.at_level("INFO"):
        moving_camera.log(whole, np.arange(60) / 30)
    assert caplog.messages == ["The camera moves: it turns by up to 35 degrees."]


def test_the_motion_keeps_it(small_motion):
    turns = Rotation.from_euler("y", [[0], [1], [2], [3], [4]], degrees=True).as_matrix()
    camera = dataclasses.replace(moving_camera.camera_motion.static(5), rotations=turns, kinds=("rotating",))
    motion = moving_camera.keep(small_motion, camera)
    np.testing.assert_allclose(motion.camera_rotation, turns, atol=1e-6)
    assert motion.camera_motion == "rotating"


def test_static_if_the_user_says_so_or_nothing_is_known_of_the_background(caplog):
    background = seen(pan(60), np.random.default_rng(0))
    for people, mode in (([observed(background)], "static"), ([observed(None)], "auto")):
        (camera,) = moving_camera.find(people, mode)
        assert camera.kinds == ("static",)
        np.testing.assert_array_equal(camera.rotations, np.tile(np.eye(3), (60, 1, 1)))


def test_an_unknown_motion_is_said(caplog):
    nothing = Background(
        np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros(61, int), np.array([0])
    )
    (camera,) = moving_camera.find([observed(nothing)])
    moving_camera.log(camera, np.arange(60) / 30)
    assert caplog.messages == [
        "The camera's motion is unknown, and it is taken as static: the background has too few points that can be "
        "followed."
    ]


def test_another_mode_is_refused():
    with pytest.raises(UserError, match="There is no camera 'x'"):
        moving_camera.find([observed(None)], "x")
