import numpy as np
import pytest

from data_pipelines.sources import draw_windows, open_source, open_sources, parse_spec, with_ground_truth
from hpof_jax.errors import UserError


def test_windows_come_from_named_sources_each_with_betas():
    opened = open_sources({"synthetic": 2.0}, "train")
    windows = draw_windows(np.random.default_rng(0), *opened.motion, count=5, frames=10)
    assert windows.pose.shape == (5, 10, 24, 3) and windows.transl.shape == (5, 10, 3)
    assert windows.betas.shape == (5, 10) and 0 < np.abs(windows.betas).max() <= 2
    assert set(windows.name) == set(windows.motion_class) == {"gait", "poses"} == set(opened.classes)


def test_sources_are_grouped_by_what_they_give(folder):
    specs = {"synthetic": 1.0, "unlabelled:synthetic": 2.0, f"rendered:{folder}": 3.0}
    specs |= {f"unlabelled:rendered:{folder}": 4.0}
    opened = open_sources(specs, "train")
    assert [source.labelled for source in opened.motion.sources] == [True]
    assert [source.labelled for source in opened.unlabelled_motion.sources] == [False]
    assert [source.labelled for source in opened.rendered.sources] == [True, False]
    np.testing.assert_allclose(opened.rendered.shares, [3 / 7, 4 / 7])
    shares = {"rendered": 0.7, "videos": 0, "unlabelled_motion": 0.2, "motion": 0.1}
    assert opened.group_shares == pytest.approx(shares)
    assert opened.classes == ("gait", "jump", "poses", "walk")
    assert open_source("synthetic", "train").labelled, "the labelled source is another object"


def test_a_model_is_evaluated_where_there_is_ground_truth():
    specs = {"unlabelled:bvh:a": 1.0, "videos:b": 2.0, "rendered:c": 3.0}
    assert with_ground_truth(specs) == {"bvh:a": 1.0, "rendered:c": 3.0}
    assert [parse_spec(spec).labelled for spec in specs] == [False, False, True]


@pytest.mark.parametrize("spec", ["dance", "dance:x", "bvh", "bvh:", "synthetic:x", "synthetic:", ""])
def test_what_is_not_a_spec_is_refused(spec):
    with pytest.raises(UserError, match=f"'{spec}' is not a data source: write one of synthetic, bvh:PATH"):
        open_source(spec, "train")


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({}, "at least one source"),
        ({"synthetic": 0.0}, "above zero"),
        ({"bvh:empty": 1.0}, "bvh:empty has no clip in its train split"),
        ({"tfds:/nowhere/at_all": 1.0}, "no tfds data set"),
        ({"rendered:/nowhere": 1.0}, "no rendered clip in its train split"),
        ({"videos:/nowhere": 1.0}, "no folder or video at /nowhere"),
    ],
)
def test_sources_that_give_nothing_are_refused(recordings, specs, words):
    with pytest.raises(UserError, match=words):
        open_sources(specs, "train")
