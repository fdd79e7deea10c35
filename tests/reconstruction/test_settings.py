import dataclasses
import typing

import pytest

from hpof_jax.errors import UserError
from hpof_jax.reconstruction.settings import Options, Settings


def test_settings_are_arguments_of_the_steps_and_the_report_has_those_that_decide_the_motion():
    settings = Settings(person="all", start=2.0, camera_pitch=-10.0, style="flow", body="body.npz")
    assert settings.everybody and not Settings(person=2).everybody
    assert settings.part == {"max_frames": None, "fps": None, "start": 2.0, "end": None}
    assert settings.scene["camera_pitch"] == -10.0 and settings.look["style"] == "flow"
    assert {"person", "start", "camera_pitch", "refine"} <= settings.decisive.keys()
    assert not {"style", "body", "progress"} & settings.decisive.keys()


def test_type_checkers_know_all_settings():
    fields = {field.name: field.type for field in dataclasses.fields(Settings)}
    assert typing.get_type_hints(Options) | {"person": str | int} == fields


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(fov=200.0), "The field of view is 200 degrees: give one between 1 and 170"),
        (dict(fov=60.0, focal_length=900.0), "Both a focal length and a field of view were given"),
        (dict(style="wire"), "There is no style 'wire': choose one of mesh, skeleton, silhouette, flow"),
        (dict(camera="drone"), "There is no camera 'drone': choose one of auto, static, moving"),
        (dict(refine="slow"), "There is no fit 'slow': choose one of auto, off, fast, full"),
        (dict(min_seen=10), "The least share of seen frames is 10: give one from 0 to 1"),
        (dict(export="fbx"), "There is no format 'fbx'"),
        (dict(person="all", height=1.8), "A height is given, but there are several people"),
        (dict(height=18.0), "18"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(options, sentence):
    with pytest.raises(UserError, match=sentence):
        Settings(**options)
