import numpy as np
import pytest

from data_pipelines.sources import clip_odds, draw_windows, open_source, open_sources
from hpof_jax.errors import UserError


def test_windows_come_from_named_sources_each_with_a_shape():
    drawers, shares = open_sources({"synthetic": 2.0}, "train")
    windows = draw_windows(np.random.default_rng(0), drawers, shares, count=5, frames=10)
    assert windows.pose.shape == (5, 10, 24, 3) and windows.transl.shape == (5, 10, 3)
    assert windows.betas.shape == (5, 10) and 0 < np.abs(windows.betas).max() <= 2
    assert set(windows.name) == set(windows.motion_class) == {"gait", "poses"}


def test_long_clips_and_large_classes_do_not_drown_the_others():
    lengths = np.array([100] * 90 + [100] * 10)
    odds = clip_odds(lengths, np.array(["walk"] * 90 + ["kick"] * 10))
    np.testing.assert_allclose(odds.sum(), 1)
    np.testing.assert_allclose(odds[90:].sum(), 0.25)
    odds = clip_odds(np.array([100, 400]), np.array(["walk", "walk"]))
    np.testing.assert_allclose(odds, [1 / 3, 2 / 3])


def test_what_is_no_source_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no motion source"):
        open_source("dance", "train")
    with pytest.raises(UserError, match="no rendered clip in its train split"):
        open_source(f"rendered:{tmp_path}", "train")
