"""The free body's anatomy on MakeHuman's base mesh: joints, landmarks, the closed skin and its weights.

Points are weighted means of the base mesh's vertices, so that they are valid for every shape.
"""

import pathlib

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, identity, vstack

from hpof_jax.body.build import makehuman
from hpof_jax.body.build.makehuman import BaseMesh
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS

# Weights of MakeHuman's joint cubes, for proportions near SMPL's. `{s}` is the joint's side, `{o}` the other
# one.
_CLAVICLES = ("joint-l-clavicle", "joint-r-clavicle")
_JOINTS = {
    "pelvis": {
        "joint-spine-4": 0.7,
        "joint-pelvis": 0.9,
        "joint-l-upper-leg": -0.3,
        "joint-r-upper-leg": -0.3,
    },
    "spine1": {"joint-spine-3": 0.62, "joint-spine-2": 0.38},
    "spine2": {"joint-spine-2": 0.68} | dict.fromkeys(_CLAVICLES, 0.16),
    "spine3": {"joint-spine-2": 0.48} | dict.fromkeys(_CLAVICLES, 0.26),
    "neck": {"joint-neck": 1.0},
    "head": {"joint-head": 1.0},
    "hip": {"joint-{s}-upper-leg": 0.9, "joint-{o}-upper-leg": 0.1},
    "knee": {"joint-{s}-knee": 1.0},
    "ankle": {"joint-{s}-ankle": 1.0},
    "foot": {"joint-{s}-foot-1": 1.0},
    "collar": {"joint-{s}-clavicle": 0.68, "joint-{s}-shoulder": 0.32},
    "shoulder": {"joint-{s}-shoulder": 1.0},
    "elbow": {"joint-{s}-elbow": 1.0},
    "wrist": {"joint-{s}-hand": 1.0},
    "hand": {"joint-{s}-hand": 0.13, "joint-{s}-finger-3-1": 0.87},
}
# BlazePose's landmarks that are neither joints nor found on the surface.
_LANDMARKS = {
    "pinky": {"joint-{s}-finger-5-1": 1.0},
    "index": {"joint-{s}-finger-2-1": 1.0},
    "thumb": {"joint-{s}-finger-1-2": 1.0},
    "foot_index": {"joint-{s}-toe-1-3": 0.5, "joint-{s}-toe-2-4": 0.5},
}
# The game rig's bones outside of the trunk; all fingers belong to the hand.
_BONES = {"neck": "neck", "head": "head", "thigh": "hip", "calf": "knee", "foot": "ankle", "ball": "foot"}
_BONES |= {"clavicle": "collar", "upperarm": "shoulder", "lowerarm": "elbow", "hand": "wrist"}
_BONES |= dict.fromkeys(("thumb", "index", "middle", "ring", "pinky"), "hand")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3")
_TRUNK_BLEND = 0.10  # metres over which the weights change from one spine joint to the next
_SMOOTHING_PASSES = 12


def joint_blends(mesh: BaseMesh) -> np.ndarray:
    """The 24 joints as weights (24, V) of the base mesh's vertices."""
    return np.stack([_blend(mesh, name, _JOINTS) for name in SMPL_JOINTS])


def landmark_blends(mesh: BaseMesh) -> np.ndarray:
    """The 33 BlazePose landmarks as weights (33, V): joints, joint cubes, surface points."""
    rims = {name: np.unique(_boundary(mesh.quads[island])) for name, island in _cavities(mesh).items()}
    skin = np.unique(mesh.quads)
    head, ground = skin[mesh.vertices[skin, 1] > _height(mesh, "joint-neck")], _height(mesh, "joint-l-ankle")
    rows = []
    for name in BLAZEPOSE_LANDMARKS:
        side, _, part = name.partition("_")
        outwards = mesh.vertices[:, 0] * (-1 if side == "right" else 1)
        z = mesh.vertices[:, 2]
        if name in SMPL_JOINTS:
            row = _blend(mesh, name, _JOINTS)
        elif part in _LANDMARKS:
            row = _blend(mesh, name, _LANDMARKS)
        elif name == "nose":
            row = _mean(mesh, _highest(head, z, 4))
        elif part == "eye":
            row = _cornea(mesh, side)
        elif part == "eye_inner":
            row = _mean(mesh, _highest(rims[side], -outwards, 1))
        elif part == "eye_outer":
            row = _mean(mesh, _highest(rims[side], outwards, 1))
        elif part == "mouth":
            row = _mean(mesh, _highest(rims["mouth"], outwards, 1))
        elif part == "ear":
            row = _mean(mesh, head[outwards[head] > 0.93 * outwards[head].max()])
        else:  # the heel: the rearmost points of the foot
            foot = skin[(mesh.vertices[skin, 1] < ground) & (outwards[skin] > 0)]
            row = _mean(mesh, _highest(foot, -z, 6))
        rows.append(row)
    return np.stack(rows)


def close_cavities(mesh: BaseMesh) -> tuple[csr_matrix, np.ndarray]:
    """The outer skin, with lids in place of the eye sockets and the inside of the mouth.

    Returns:
      skin: sparse (S, V), the skin's vertices as weights of the base mesh's.
      faces: (F, 3) triangles of a closed surface, counter-clockwise seen from outside.
    """
    cavities = _cavities(mesh)
    outer = np.delete(mesh.quads, np.concatenate(list(cavities.values())), axis=0)
    used = np.unique(outer)
    number = np.full(len(mesh.vertices), -1)
    number[used] = np.arange(len(used))
    faces, lids = [number[outer[:, [0, 1, 2]]], number[outer[:, [0, 2, 3]]]], []
    for name, island in sorted(cavities.items()):
        rim = _boundary(mesh.quads[island])
        fan = np.full((len(rim), 1), len(used) + len(lids))
        faces.append(np.concatenate([number[rim], fan], axis=1))
        lids.append(_mean(mesh, np.unique(rim)) if name == "mouth" else _cornea(mesh, name))
    skin = vstack([identity(len(mesh.vertices), format="csr")[used], csr_matrix(np.stack(lids))])
    return csr_matrix(skin), np.concatenate(faces)


def skin_weights(wheel: pathlib.Path, mesh: BaseMesh, skin: csr_matrix, faces: np.ndarray) -> np.ndarray:
    """Skinning weights (S, 24) from MakeHuman's game rig; the trunk's are distributed by height."""
    weights = np.zeros((len(mesh.vertices), len(SMPL_JOINTS)))
    trunk = np.zeros(len(mesh.vertices))
    for bone, values in makehuman.read_rig_weights(wheel, "game_engine", len(mesh.vertices)).items():
        stem, side = bone.split("_")[0], {"l": "left_", "r": "right_"}.get(bone.split("_")[-1], "")
        if stem in _BONES:
            weights[:, SMPL_JOINTS.index(side + _BONES[stem])] += values
        else:
            trunk += values
    joints = [SMPL_JOINTS.index(name) for name in _TRUNK]
    starts = (joint_blends(mesh) @ mesh.vertices)[joints, 1]
    above = [np.ones_like(trunk)]
    for start in starts[1:]:
        t = np.clip((mesh.vertices[:, 1] - start) / _TRUNK_BLEND + 0.5, 0, 1)
        above.append(t * t * (3 - 2 * t))
    above.append(np.zeros_like(trunk))
    for joint, own, further in zip(joints, above[:-1], above[1:], strict=True):
        weights[:, joint] += trunk * np.maximum(own - further, 0)
    weights = skin @ weights
    weights /= weights.sum(axis=1, keepdims=True)
    neighbours = _averaging(faces)
    for _ in range(_SMOOTHING_PASSES):
        weights = (weights + neighbours @ weights) / 2
    return weights


def _blend(mesh: BaseMesh, name: str, table: dict[str, dict[str, float]]) -> np.ndarray:
    side, _, part = name.partition("_")
    own, other = ("r", "l") if side == "right" else ("l", "r")
    blend = table[part or name]
    return sum(share * _mean(mesh, mesh.groups[cube.format(s=own, o=other)]) for cube, share in blend.items())


def _mean(mesh: BaseMesh, members: np.ndarray) -> np.ndarray:
    row = np.zeros(len(mesh.vertices))
    row[members] = 1 / len(members)
    return row


def _cornea(mesh: BaseMesh, side: str) -> np.ndarray:
    return _mean(mesh, _highest(mesh.groups[f"helper-{side[0]}-eye"], mesh.vertices[:, 2], 8))


def _highest(members: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    return members[np.argsort(-score[members], kind="stable")[:count]]


def _height(mesh: BaseMesh, group: str) -> float:
    return mesh.vertices[mesh.groups[group], 1].mean()


def _cavities(mesh: BaseMesh) -> dict[str, np.ndarray]:
    """Quads of the eye sockets ("left", "right") and the mouth: small islands of the texture map."""
    found = {}
    for island in mesh.islands:
        centre = mesh.vertices[np.unique(mesh.quads[island])].mean(axis=0)
        if len(island) < 500 and centre[1] > _height(mesh, "joint-neck"):
            found["mouth" if abs(centre[0]) < 0.005 else "left" if centre[0] > 0 else "right"] = island
    return found


def _boundary(quads: np.ndarray) -> np.ndarray:
    """The directed edges (E, 2) whose reverse is in no quad."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2).tolist()
    known = set(map(tuple, edges))
    return np.array([(a, b) for a, b in edges if (b, a) not in known])


def _averaging(faces: np.ndarray) -> csr_matrix:
    """Sparse (S, S): the mean over each vertex's neighbours."""
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T)).tocsr()
    graph = graph + graph.T
    return diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph
