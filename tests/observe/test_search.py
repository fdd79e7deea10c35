import numpy as np
import pytest

from hpof_jax.observe.blazepose import Region
from hpof_jax.observe.search import change, find_people, is_same, settle, tiles
from tests.observe.test_person import GREEN, HEIGHT, RED, SIZE, WIDTH, FakeBlazePose

NET = FakeBlazePose({"a": (RED, [200]), "b": (GREEN, [600])})
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def test_everybody_is_found_once_and_who_is_known_is_left_out():
    squares = tiles(IMAGE.shape, 1.0)
    found = find_people(NET, IMAGE, squares)
    assert sorted(round(pose.region.x) for pose in found) == [200, 600]
    assert [round(pose.region.x) for pose in find_people(NET, IMAGE, squares, found[:1])] == [
        round(found[1].region.x)
    ]
    assert find_people(NET, IMAGE, squares, found) == []


def test_a_region_settles_on_the_person_or_on_nobody():
    assert settle(NET, IMAGE, Region(230, HEIGHT / 2, SIZE, 0.0)).region.x == 200
    assert settle(NET, IMAGE, Region(420, HEIGHT / 2, SIZE, 0.0)) is None


def test_poses_of_one_person_are_the_same():
    one, again, other = (NET.landmarks(IMAGE, Region(x, HEIGHT / 2, SIZE, 0.0)) for x in (200, 210, 600))
    assert is_same(one, again) and not is_same(one, other)


def test_change_of_a_region():
    moved, grown = change(Region(0, 0, 100, 0.0), Region(30, 40, 50, 0.0))
    assert (moved, grown) == (pytest.approx(0.5), 2.0)


def test_tiles_cover_the_image():
    covered = np.zeros((300, 900), bool)
    for x, y, side in tiles((300, 900), 0.5):
        covered[int(y - side / 2) : int(y + side / 2), int(x - side / 2) : int(x + side / 2)] = True
    assert covered.all()
    assert tiles((300, 900), 1.0)[0] == (450, 150, 900)
