import pytest

from hpof_jax.reconstruction.arguments import parser
from hpof_jax.reconstruction.settings import Settings

PROGRAM = {"video": None, "out": "out", "batch": None, "shard": "1/1", "jobs": None}


def test_what_is_not_given_is_left_to_the_settings():
    assert vars(parser().parse_args([])) == PROGRAM
    given = vars(
        parser().parse_args(["clip.mp4", "--person", "2", "--fov", "60", "--no-overlay", "--side-view"])
    )
    assert given == PROGRAM | dict(video="clip.mp4", person="2", fov=60.0, overlay=False, side_view=True)


def test_every_setting_but_progress_has_an_option():
    destinations = {action.dest for action in parser()._actions} - PROGRAM.keys() - {"help"}
    assert destinations == vars(Settings()).keys() - {"progress"}


def test_the_choices_are_those_of_the_settings():
    for action in parser()._actions:
        for choice in action.choices or ():
            Settings(**{action.dest: choice})


def test_one_lens_at_a_time(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--fov", "60", "--focal-length", "900"])
    assert "not allowed with argument" in capsys.readouterr().err
