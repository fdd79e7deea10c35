"""What every session has."""

import pathlib

import pytest

from hpof_jax.errors import UserError
from hpof_jax.sessions.session import Trial, by_numbers, pick_video


def test_a_video_by_its_camera():
    trial = Trial("walk", {"cam1": pathlib.Path("a.mp4"), "cam2": pathlib.Path("b.mp4")}, (), ())
    assert pick_video(trial, None) == ("cam1", pathlib.Path("a.mp4"))
    assert pick_video(trial, "cam2") == ("cam2", pathlib.Path("b.mp4"))
    with pytest.raises(UserError, match="no camera cam3: give one of cam1, cam2"):
        pick_video(trial, "cam3")
    with pytest.raises(UserError, match="walk has no video"):
        pick_video(Trial("walk", {}, (), ()), None)


def test_numbers_in_names_count():
    assert sorted(["cam10", "cam2", "Cam", "cam1"], key=by_numbers) == ["Cam", "cam1", "cam2", "cam10"]
