"""Recognises the joints of a motion file by their names and their place in the tree."""

import re
from collections.abc import Iterable, Sequence

from hpof_jax.errors import UserError

# Slot -> joint of the file. A slot is the name of an SMPL joint, or spine/1.., neck/1.. counted upwards.
Slots = dict[str, int]

BONES = {  # joint of a limb -> the joint at the far end of its bone
    f"{side}_{near}": f"{side}_{far}"
    for near, far in (
        ("hip", "knee"),
        ("knee", "ankle"),
        ("ankle", "foot"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    )
    for side in ("left", "right")
}
# Names of the joints of a limb without sides, numbers and prefixes, the most reliable name first.
_LIMB_NAMES = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "knee": ("lowerleg", "lowleg", "shin", "calf", "leg", "tibia", "knee"),
    "ankle": ("ankle", "foot"),
    "foot": ("toe", "toes", "toebase", "ball", "forefoot", "foot"),
    "shoulder": ("upperarm", "uparm", "arm", "humerus", "shldr", "bicep", "shoulder"),
    "collar": ("collar", "clavicle", "clav", "scapula", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "elbow", "radius"),
    "wrist": ("wrist", "hand"),
}
_REQUIRED = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")


def find_slots(names: Sequence[str], parents: Sequence[int], where: str) -> Slots:
    """Recognises the joints of a file.

    Args:
      names: of the joints; "" for end sites. parents: index of each joint's parent, -1 for the root.
      where: the file, for the error.

    Raises:
      UserError: a joint of a limb is not found.
    """
    words = _words(names)
    slots: Slots = {}
    for side in ("left", "right"):
        for part, candidates in _LIMB_NAMES.items():
            keys = [(side, word) for word in candidates]
            found = [
                words.index(key) for key in keys if key in words and words.index(key) not in slots.values()
            ]
            if found:
                slots[f"{side}_{part}"] = found[0]
    missing = [
        f"{side} {part}" for part in _REQUIRED for side in ("left", "right") if f"{side}_{part}" not in slots
    ]
    if missing:
        listed = ", ".join(filter(None, names))[:200]
        raise UserError(
            f"{where} has no joint that looks like a {', '.join(missing)}: rename its joints ({listed})."
        )
    pelvis = _common_ancestor(parents, slots["left_hip"], slots["right_hip"])
    if words[pelvis][1].startswith("spine") and parents[pelvis] >= 0:
        pelvis = parents[pelvis]  # 3ds Max hangs the thighs on the spine
    tops = [slots.get(f"{side}_collar", slots[f"{side}_shoulder"]) for side in ("left", "right")]
    chest = _common_ancestor(parents, *tops)
    while words[chest][1].startswith("neck") and parents[chest] >= 0:
        chest = parents[chest]
    slots["pelvis"] = pelvis
    spine = [
        joint for joint in _path(parents, _common_ancestor(parents, pelvis, chest), chest) if joint != pelvis
    ]
    above = [joint for joint, name in enumerate(names) if name and chest in _ancestors(parents, joint)[1:]]
    necks = [joint for joint in above if words[joint][0] == "" and words[joint][1].startswith("neck")]
    heads = [joint for joint in above if words[joint] == ("", "head")]
    if heads:
        slots["head"] = heads[0]
        necks = _path(parents, chest, heads[0])[:-1]
    for chain, joints in (("spine", spine), ("neck", necks)):
        slots |= {f"{chain}/{place + 1}": joint for place, joint in enumerate(joints)}
    return slots


def chain(slots: Iterable[str], name: str) -> list[str]:
    """The slots spine/1.. or neck/1.., upwards."""
    return sorted(
        (slot for slot in slots if slot.startswith(name + "/")), key=lambda slot: int(slot.split("/")[1])
    )


def limb_bones(slots: Iterable[str]) -> list[tuple[str, str]]:
    """(near, far) joint of each bone of the limbs whose joints are both in `slots`."""
    return [(near, far) for near, far in BONES.items() if near in slots and far in slots]


def _words(names: Sequence[str]) -> list[tuple[str, str]]:
    """(side, word) of each name.

    'mixamorig:LeftUpLeg' -> ('left', 'upleg'), 'CC_Base_L_Thigh' -> ('left', 'thigh').
    """
    sides = {"left": "left", "l": "left", "lft": "left", "right": "right", "r": "right", "rgt": "right"}
    split = []
    for name in names:
        tokens = [token.lower() for token in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name.split(":")[-1])]
        if tokens and (run := re.fullmatch(r"(left|right)([a-z]+)", tokens[0])):
            tokens[:1] = run.groups()
        split.append(tokens)
    named = [tokens for tokens in split if tokens]
    common = {
        token
        for tokens in named
        for token in tokens
        if sum(token in other for other in named) > 0.6 * len(named)
    }
    common |= {"mixamorig", "bip", "def", "org", "joint", "jnt", "bone"}
    result = []
    for tokens in split:
        side = next((sides[token] for token in tokens if token in sides), "")
        result.append(
            (side, "".join(token for token in tokens if token not in sides and token not in common))
        )
    return result


def _ancestors(parents: Sequence[int], joint: int) -> list[int]:
    """The joint itself, its parent, and so on to the root."""
    line = [joint]
    while parents[line[-1]] >= 0:
        line.append(parents[line[-1]])
    return line


def _common_ancestor(parents: Sequence[int], a: int, b: int) -> int:
    """The lowest common ancestor that is neither a nor b; a if there is none."""
    line = _ancestors(parents, b)[1:]
    return next((joint for joint in _ancestors(parents, a)[1:] if joint in line), a)


def _path(parents: Sequence[int], top: int, bottom: int) -> list[int]:
    """The joints from below `top` down to `bottom`."""
    line = _ancestors(parents, bottom)
    return line[: line.index(top)][::-1] if top in line else []
