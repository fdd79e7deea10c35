import pytest

from benchmarks.backbone import TOLERANCE, measure


@pytest.mark.slow
def test_the_features_are_torchvisions():
    pytest.importorskip("torchvision")
    layouts = measure(batch=1, rounds=0)["layouts"]
    assert len(layouts) == 4
    assert max(layout["difference"] for layout in layouts.values()) < TOLERANCE
