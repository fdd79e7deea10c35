"""Bundle adjustment: the poses of a moving camera and the inverse depths of the points that it sees.

Triggs et al., "Bundle Adjustment: A Modern Synthesis", 2000. A point lies on the ray of its first observation, at an
inverse depth (Civera et al., "Inverse Depth Parametrization for Monocular SLAM", 2008), so that far points are no
special case. World: the axes of the first camera; the scale is free.
"""

import dataclasses

import numpy as np
from scipy.sparse import coo_matrix, eye_array
from scipy.sparse.linalg import spsolve

from hpof_jax.geometry.numpy_rotations import to_matrix

ROUNDS, CAMERA_ROUNDS = 15, 5
ENOUGH = 1e-3  # relative change of the cost that ends the rounds


@dataclasses.dataclass(frozen=True, eq=False)
class Sightings:
    """N observations of P points by K cameras.

    camera: (N,) number of the camera. point: (N,) number of the point. ray: (N, 3) unit, camera axes.
    first_camera: (P,) the camera that saw each point first. first_ray: (P, 3) unit, of that observation.
    """

    camera: np.ndarray
    point: np.ndarray
    ray: np.ndarray
    first_camera: np.ndarray
    first_ray: np.ndarray


def adjust(
    sightings: Sightings, rotations: np.ndarray, positions: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levenberg-Marquardt with Cauchy weights over all cameras but the first, and all points.

    Args:
      rotations: (K, 3, 3) from the world to each camera, a guess. positions: (K, 3) in the world, a guess.
      tolerance: radians; errors beyond it count less and less.

    Returns:
      rotations, positions and inverse depths (P,), in units of 1 / those of `positions`.
    """
    rotations, positions = rotations.astype(np.float64), positions.astype(np.float64)
    depths = triangulate(sightings, rotations, positions)
    state = rotations, positions, depths
    damping, cost = 1e-3, _cost(sightings, *state, tolerance)
    for _ in range(ROUNDS):
        step = _step(sightings, *state, tolerance, damping)
        tried = _moved(*state, *step)
        tried_cost = _cost(sightings, *tried, tolerance)
        if tried_cost > cost:
            damping *= 10
            if damping > 1e6:
                break
            continue
        done = cost - tried_cost < ENOUGH * cost
        state, cost, damping = tried, tried_cost, max(damping / 5, 1e-9)
        if done:
            break
    return state


def triangulate(sightings: Sightings, rotations: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The inverse depths (P,) that fit given cameras, by linear least squares; at least 0."""
    s, first = sightings, sightings.first_camera[sightings.point]
    seen = np.einsum("nji,nj->ni", rotations[s.camera], s.ray)
    ahead = np.einsum("nji,nj->ni", rotations[first], s.first_ray[s.point])
    # The seen ray is parallel to ahead - depth * way.
    a = np.cross(seen, positions[s.camera] - positions[first])
    b = np.cross(seen, ahead)
    count = len(s.first_camera)
    top = np.bincount(s.point, (a * b).sum(axis=1), count)
    bottom = np.bincount(s.point, (a * a).sum(axis=1), count)
    return np.maximum(top / np.maximum(bottom, 1e-12), 0.0)


def locate(
    sightings: Sightings,
    rotations: np.ndarray,
    positions: np.ndarray,
    first_rotations: np.ndarray,
    first_positions: np.ndarray,
    depths: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Poses of cameras that see known points, each on its own, by Gauss-Newton from a guess.

    Args:
      sightings: `first_camera` counts the cameras of `first_rotations` (P', 3, 3) and `first_positions`.
      rotations, positions: the guesses, (K, 3, 3) and (K, 3).
      depths: (P,) inverse depths.
    """
    count = len(rotations)
    for _ in range(CAMERA_ROUNDS):
        error, turn, move, *_ = _linearized(
            sightings, rotations, positions, first_rotations, first_positions, depths
        )
        weight = _weights(error, tolerance)
        rows = np.concatenate([turn, move], axis=2)
        normal, right = np.zeros((count, 6, 6)), np.zeros((count, 6))
        np.add.at(normal, sightings.camera, np.einsum("n,nai,naj->nij", weight, rows, rows))
        np.add.at(right, sightings.camera, -np.einsum("n,nai,na->ni", weight, rows, error))
        # A weak pull to the guess, for cameras that see few points.
        normal += np.eye(6) * (1e-6 + 1e-4 * normal[:, range(6), range(6)].mean(axis=1))[:, None, None]
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        rotations = to_matrix(step[:, :3]) @ rotations
        positions = positions + step[:, 3:]
    return rotations, positions


def errors(
    sightings: Sightings, rotations: np.ndarray, positions: np.ndarray, depths: np.ndarray
) -> np.ndarray:
    """The angle (N,) between each observation and its point, radians."""
    return np.linalg.norm(
        _linearized(sightings, rotations, positions, rotations, positions, depths)[0], axis=1
    )


def _cost(sightings, rotations, positions, depths, tolerance) -> float:
    found = errors(sightings, rotations, positions, depths)
    return float(np.log1p((found / tolerance) ** 2).sum())


def _weights(error: np.ndarray, tolerance: float) -> np.ndarray:
    return 1 / (1 + (error**2).sum(axis=1) / tolerance**2)


def _linearized(sightings, rotations, positions, first_rotations, first_positions, depths):
    """Errors (N, 2) in radians, and their derivatives (N, 2, ...) by a camera's turn and place, those of the camera
    that saw the point first, and the inverse depth."""
    s = sightings
    first, first_ray, depth = s.first_camera[s.point], s.first_ray[s.point], depths[s.point]
    to_camera, to_first = rotations[s.camera], first_rotations[first]
    way = positions[s.camera] - first_positions[first]
    ahead = np.einsum("nji,nj->ni", to_first, first_ray) - depth[:, None] * way
    there = np.einsum("nij,nj->ni", to_camera, ahead)
    length = np.linalg.norm(there, axis=1)
    unit = there / np.maximum(length, 1e-9)[:, None]
    basis = _tangents(s.ray)
    error = np.einsum("nia,ni->na", basis, unit)
    # Points behind the camera have the largest error.
    error = np.where((unit * s.ray).sum(axis=1)[:, None] > 0, error, 1.0)
    slope = np.swapaxes(basis, 1, 2) - np.einsum("nia,ni->na", basis, unit)[..., None] * unit[:, None]
    slope = slope / np.maximum(length, 1e-9)[:, None, None]
    move = -depth[:, None, None] * (slope @ to_camera)
    turn = -slope @ _cross(there)
    first_turn = slope @ to_camera @ np.swapaxes(to_first, 1, 2) @ _cross(first_ray)
    deeper = -np.einsum("nai,nij,nj->na", slope, to_camera, way)
    return error, turn, move, first_turn, -move, deeper


def _step(sightings, rotations, positions, depths, tolerance, damping):
    """A damped Gauss-Newton step: of turns (K, 3), places (K, 3) and inverse depths (P,)."""
    error, turn, move, first_turn, first_move, deeper = _linearized(
        sightings, rotations, positions, rotations, positions, depths
    )
    weight = np.sqrt(_weights(error, tolerance))[:, None]
    cameras, points = len(rotations), len(depths)
    first = sightings.first_camera[sightings.point]
    own = 6 * sightings.camera[:, None] + np.arange(6)
    theirs = 6 * first[:, None] + np.arange(6)
    columns = np.concatenate([own, theirs, 6 * cameras + sightings.point[:, None]], axis=1)
    values = (
        np.concatenate([turn, move, first_turn, first_move, deeper[..., None]], axis=2) * weight[..., None]
    )
    rows = np.arange(error.size).reshape(-1, 2)
    rows, columns = (np.broadcast_to(a, values.shape) for a in (rows[..., None], columns[:, None]))
    shape = error.size, 6 * cameras + points
    jacobian = coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape).tocsc()[:, 6:]
    normal = (jacobian.T @ jacobian).tocsc()
    scale = normal.diagonal()
    normal = normal + damping * eye_array(len(scale)).multiply(scale[:, None] + 1e-9 * scale.max()).tocsc()
    step = np.concatenate([np.zeros(6), spsolve(normal, -jacobian.T @ (error * weight).ravel())])
    of_cameras = step[: 6 * cameras].reshape(-1, 6)
    return of_cameras[:, :3], of_cameras[:, 3:], step[6 * cameras :]


def _moved(rotations, positions, depths, turn, move, deeper):
    return to_matrix(turn) @ rotations, positions + move, np.maximum(depths + deeper, 0.0)


def _tangents(ray: np.ndarray) -> np.ndarray:
    """(N, 3, 2) two unit vectors across each ray."""
    helper = np.where(np.abs(ray[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(ray, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(ray, first)], axis=2)


def _cross(v: np.ndarray) -> np.ndarray:
    """(N, 3, 3) matrices of the cross product v x."""
    x, y, z = v.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
