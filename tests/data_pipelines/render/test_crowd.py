import numpy as np
import pytest

from data_pipelines.render import picture
from data_pipelines.render.crowd import KINDS, draw_paths, make_crowd

FRAMES = 10


@pytest.fixture(autouse=True)
def uncompressed(monkeypatch):
    monkeypatch.setattr(picture, "COMPRESSION", {"none": 1.0})


def test_masks_show_the_people_at_their_joints_and_do_not_overlap():
    crowd = make_crowd(0, 0, FRAMES, "meet")
    shown = list(crowd.pictures)
    assert len(shown) == FRAMES and crowd.joints.shape == (2, FRAMES, 24, 2)
    height, width = crowd.image_size
    for number, (image, masks) in enumerate(shown):
        assert image.shape == (height, width, 3) and len(masks) == 2
        assert not np.any((masks[0] > 0) & (masks[1] > 0))
        for mask, joints in zip(masks, crowd.joints[:, number]):
            rows, columns = np.nonzero(mask)
            if len(rows) > 2000:
                assert joints[0, 0] == pytest.approx(columns.mean(), abs=0.15 * height)


def test_a_clip_depends_on_seed_and_number_alone():
    one, same, other = (next(make_crowd(0, n, 3, "pass").pictures)[0] for n in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or np.any(one != other)


@pytest.mark.parametrize("kind", KINDS)
def test_paths_do_what_their_kind_says(kind):
    for seed in range(8):
        paths = draw_paths(np.random.default_rng(seed), kind, 150, view=2.0)
        x = paths[..., 0]
        order = np.sign(x[0] - x[1])
        assert np.all(np.abs(np.diff(paths, axis=1)) < 0.1), "nobody jumps"
        if kind in ("pass", "overtake", "three"):
            assert order[0] == -order[-1]
        elif kind == "meet":
            assert np.abs(x[0] - x[1]).min() < 0.4 < np.abs(x[0] - x[1])[[0, -1]].min()
        else:
            away = np.abs(x[0]) > 2.0
            assert away.any() and not away.all() and not np.any(np.abs(x[1]) > 2.0)
