import numpy as np
import pytest

from hpof_jax.body.skeletons import (
    KEYPOINT_SETS,
    SMPL_JOINTS,
    SMPL_MIRROR,
    SMPL_PARENTS,
    convert,
    index_map,
    keypoint_names,
    keypoint_parents,
    mirror_permutation,
)
from hpof_jax.errors import UserError

SIZES = dict(
    smpl24=24,
    coco17=17,
    h36m17=17,
    mpi_inf_3dhp17=17,
    lsp14=14,
    blazepose33=33,
    openpose25=25,
    spin49=49,
    anatomical12=12,
)
ABBREVIATED = {"r": "right", "l": "left"}


def long(names):
    """'rknee nose' -> ('right_knee', 'nose')."""
    limbs = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear")
    return tuple(
        f"{ABBREVIATED[name[0]]}_{name[1:]}" if name[1:] in limbs else name for name in names.split()
    )


def test_points_of_one_set_become_those_of_another():
    detections = np.random.default_rng(0).random((5, 17, 3))  # COCO's: five frames of x, y, confidence
    points, there = convert(detections, "coco17", "smpl24")
    assert points.shape == (5, 24, 3) and there.sum() == 12
    np.testing.assert_array_equal(points[:, SMPL_JOINTS.index("left_knee")], detections[:, 13])
    assert not points[:, ~there].any(), "what COCO does not have has no confidence"


def test_the_sets_and_their_sizes():
    assert {name: len(names) for name, names in KEYPOINT_SETS.items()} == SIZES
    for names in KEYPOINT_SETS.values():
        assert len(set(names)) == len(names)


def test_the_orders_of_the_data_sets():
    assert keypoint_names("coco17") == long(
        "nose leye reye lear rear lshoulder rshoulder lelbow relbow lwrist rwrist lhip rhip lknee rknee lankle rankle"
    )
    assert keypoint_names("openpose25")[:15] == long(
        "nose neck rshoulder relbow rwrist lshoulder lelbow lwrist mid_hip rhip rknee rankle lhip lknee lankle"
    )
    assert keypoint_names("openpose25")[15:] == (
        *long("reye leye rear lear"),
        *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    )
    assert keypoint_names("h36m17") == long(
        """pelvis rhip rknee rankle lhip lknee lankle spine neck jaw head_top lshoulder lelbow lwrist rshoulder relbow
        rwrist"""
    )
    assert keypoint_names("lsp14") == long(
        "rankle rknee rhip lhip lknee lankle rwrist relbow rshoulder lshoulder lelbow lwrist neck head_top"
    )
    assert keypoint_names("mpi_inf_3dhp17") == long(
        """head_top neck rshoulder relbow rwrist lshoulder lelbow lwrist rhip rknee rankle lhip lknee lankle pelvis spine
        jaw"""
    )
    spin = keypoint_names("spin49")
    assert spin[:25] == tuple(f"{name}_openpose" for name in keypoint_names("openpose25"))
    assert spin[25:37] == keypoint_names("lsp14")[:12]
    assert spin[37:] == long("neck head_top_lsp pelvis thorax spine jaw head_top nose leye reye lear rear")


@pytest.mark.parametrize(
    ("source", "target", "published"),
    [
        ("h36m17", "lsp14", [3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10]),  # METRO's H36M_J17_TO_J14
        # SPIN's J24_TO_J14 and _J17, and the order in which it reads MPI-INF-3DHP's test set (its legs: left first)
        ("spin49", "lsp14", [25 + i for i in (*range(13), 18)]),
        ("mpi_inf_3dhp17", "h36m17", [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]),
        ("spin49", "openpose25", list(range(25))),
    ],
)
def test_maps_by_name_are_the_fields_index_lists(source, target, published):
    index, there = index_map(source, target)
    assert there.all()
    np.testing.assert_array_equal(index, published)


def test_openpose_is_the_first_half_of_spins_points_and_nothing_else():
    index, there = index_map("openpose25", "spin49")
    np.testing.assert_array_equal(there, np.arange(49) < 25)
    np.testing.assert_array_equal(index[:25], np.arange(25))


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_mirroring_twice_changes_nothing(name):
    names, mirror = keypoint_names(name), mirror_permutation(keypoint_names(name))
    clip = np.random.default_rng(0).normal(size=(4, len(names), 3))
    once = clip[:, mirror] * (-1, 1, 1)
    assert not np.array_equal(once, clip)
    np.testing.assert_array_equal(once[:, mirror] * (-1, 1, 1), clip)
    for point, partner in zip(names, np.array(names)[mirror], strict=True):
        swapped = point.replace("left_", "L").replace("right_", "left_").replace("L", "right_")
        assert partner == swapped
    parents = np.array(keypoint_parents(name))
    mirrored = np.where(parents < 0, -1, mirror[parents])
    np.testing.assert_array_equal(mirrored[mirror], parents, "bones have partners like their ends")


def test_spins_own_permutation():
    published = [0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21]
    second = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20, 23, 22]
    np.testing.assert_array_equal(
        mirror_permutation(keypoint_names("spin49")), published + [25 + i for i in second]
    )
    np.testing.assert_array_equal(mirror_permutation(SMPL_JOINTS), SMPL_MIRROR)


def test_bones():
    assert keypoint_parents("smpl24") == SMPL_PARENTS
    assert keypoint_parents("h36m17") == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    for name, names in KEYPOINT_SETS.items():
        parents = keypoint_parents(name)
        for point in range(len(names)):
            steps = 0
            while point >= 0:
                point, steps = parents[point], steps + 1
                assert steps <= len(names), f"{name} has a circle"
    names, parents = keypoint_names("coco17"), keypoint_parents("coco17")
    assert names[parents[names.index("left_wrist")]] == "left_elbow"


def test_what_does_not_fit_gets_one_sentence():
    with pytest.raises(UserError, match="no keypoint set 'coco': choose one of smpl24, coco17"):
        keypoint_names("coco")
    for shape in ((17,), (17, 16, 3)):
        with pytest.raises(UserError, match="coco17 are"):
            convert(np.zeros(shape), "coco17", "smpl24")
