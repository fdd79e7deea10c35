import numpy as np
import pytest

from hpof_jax.errors import UserError
from tests.test_motion import make


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(poses=np.zeros((4, 156))), r"'poses' of the motion has shape \(4, 156\) instead of \(4, 72\)"),
        (dict(trans=np.zeros((5, 3))), r"'trans' of the motion has shape \(5, 3\) instead of \(4, 3\)"),
        (dict(betas=np.full(10, np.nan)), "'betas' of the motion holds something other than finite numbers"),
        (dict(cam=np.full((4, 3), "a")), "'cam' of the motion holds something other than finite numbers"),
        (
            dict(camera_rotation=np.zeros((4, 3, 3))),
            "'camera_rotation' of the motion holds something else than",
        ),
        (dict(mocap_framerate=0.0), "'mocap_framerate' of the motion is 0.0"),
        (dict(frame_index=[0, 2, 2, 3]), "'frame_index' of the motion does not ascend"),
        (dict(times=[0, 0.1, 0.1, 0.2]), "'times' of the motion does not ascend"),
        (dict(times=np.zeros(3)), r"'times' of the motion has shape \(3,\) instead of \(4,\)"),
        (dict(times=None, mocap_framerate=[30.0, 30.0]), "'mocap_framerate' of the motion has shape"),
        (
            dict(times=None, mocap_framerate="fast"),
            "'mocap_framerate' of the motion holds something other than",
        ),
        (
            dict(times=None, frame_index=["a", "b", "c", "d"]),
            "'frame_index' of the motion holds something other",
        ),
        (dict(gravity_sigma=[1.0, 2.0]), "'gravity_sigma' of the motion is no number"),
        (dict(world_to_camera=np.full((4, 4), "a")), "'world_to_camera' of the motion is no rigid transform"),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        make(**change)


def test_fields_have_the_types_that_a_motion_promises():
    motion = make(times=None, mocap_framerate=np.float64(25), camera_rotation=None, camera_position=None)
    assert motion.poses.dtype == np.float32 and motion.frame_index.dtype == np.int64
    assert motion.times.dtype == np.float64 and type(motion.mocap_framerate) is float
    np.testing.assert_allclose(motion.times, np.arange(2, 6) / 25)
    assert not motion.camera_moves
