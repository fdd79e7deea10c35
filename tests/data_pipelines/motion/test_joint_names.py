import pytest

from data_pipelines.motion.joint_names import chain, find_slots, limb_bones
from hpof_jax.errors import UserError
from tests.data_pipelines.motion.conftest import INDEX, NAMES, SOURCE, TRUNK, joint_tree


@pytest.mark.parametrize("family", sorted(NAMES))
def test_every_family_of_names_is_recognised(family):
    names, parents = joint_tree(family)
    slots = find_slots(names, parents, "a file")
    expected = {name: SOURCE.index(name) for name in SOURCE if name not in TRUNK}
    assert {slot: joint for slot, joint in slots.items() if slot in INDEX and slot not in TRUNK} == expected
    assert [slots[slot] for slot in chain(slots, "spine")] == [SOURCE.index("spine1"), SOURCE.index("spine3")]
    assert slots["pelvis"] == SOURCE.index("pelvis") and slots["head"] == SOURCE.index("head")
    assert [slots[slot] for slot in chain(slots, "neck")] == [SOURCE.index("neck")]
    assert len(limb_bones(slots)) == 10


def test_a_missing_limb_is_named():
    names, parents = joint_tree("daz")
    with pytest.raises(UserError, match="snake.bvh has no joint that looks like a left knee"):
        find_slots(["tail" if name == "lShin" else name for name in names], parents, "snake.bvh")
