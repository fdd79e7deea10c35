"""What the test-time fit knows of the detector and of the network, from rendered people with ground truth.

    python -m hpof_jax.data render --clip-frames 60 --motion bvh:recordings/ --out rendered/ --frames 6000
    python -m benchmarks.fit_statistics rendered/ --out hpof_jax/assets/fit_statistics.npz

- `offsets` (33, 3): metres in the axes of the joint that carries the landmark, from the body's landmark to the
  detector's; robust least squares over the 2D errors of visible landmarks.
- `edges` (B + 1,) and `sigmas` (B, 33): bins of visibility, and in each the noise that remains: the standard
  deviation along one axis of the picture, in metres at the landmark's depth, from the median distance.
- `factor` (75, 75): the Cholesky factor of the covariance of the network's errors: turns of the 24 joints, radians in
  their own axes, and the shift of `hpof_jax.picture_fit`. Student's t, so that lost frames count little.

Left and right are averaged. `hpof_jax.picture_fit` reads the file. Clips of synthetic motion are left out. The network
must not have been trained on these clips.
"""

import argparse
import functools
import pathlib
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.program import print_row, program
from benchmarks.rendered import Clip, add_folders, read_clips
from data_pipelines.observed.rendered import LEAST_SEEN, clip_path
from hpof_jax.atomic import replacing
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.kinematics import forward_kinematics
from hpof_jax.body.model import keypoints, rest_joints
from hpof_jax.body.skeletons import (
    BLAZEPOSE_CARRIERS,
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_MIRROR,
    SMPL_JOINTS,
    SMPL_MIRROR,
    indices_of,
)
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations

EDGES = np.array([0.0, 0.5, 0.8, 0.95, 1.0])
VISIBLE = 0.5
ROBUST = 0.05  # metres; errors of this size weigh half
ROUNDS = 10
MEDIAN = 1.1774  # median of the distance of two independent normal errors, in their standard deviations
FEWEST = 50  # landmarks in a bin; else the bin's median over all landmarks counts
EVERY = 3  # frames; neighbouring ones have nearly the same error
LOST, LARGEST = (
    1.0,
    1.2,
)  # radians of the root, beyond which a frame is left out; the largest error that counts
FREEDOM = 4.0  # degrees of freedom of the t
SYNTHETIC = ("gait", "poses")
CARRIERS = indices_of(BLAZEPOSE_CARRIERS, SMPL_JOINTS)


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the .npz to write")
    parser.add_argument("--weights", help="weights of the network (default: the package's)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    body, weights, clips, lifted = load_body(), load_weights(options.weights), [], []
    for folder in options.folders:
        for number, clip in read_clips(folder):
            if clip["seen"].mean() >= LEAST_SEEN and not str(clip["name"]).startswith(SYNTHETIC):
                clips.append(clip)
                lifted.append(lift(Observations.load(clip_path(folder, number)), weights, body))
    table = noise_table(body, clips) | {"factor": error_factor(clips, lifted)}
    with replacing(options.out, "The table") as partial, partial.open("wb") as file:
        np.savez(file, **table)
    print_row("", ("x mm", "y mm", "z mm", *(f"< {edge:g}" for edge in EDGES[1:])))
    for name, offset, sigma in zip(BLAZEPOSE_LANDMARKS, table["offsets"], table["sigmas"].T):
        print_row(name, 1000 * np.concatenate([offset, sigma]))
    frames = sum(int(clip["seen"].sum()) for clip in clips)
    return {"clips": len(clips), "frames": frames} | {name: x.tolist() for name, x in table.items()}


def noise_table(body: BodyModel, clips: Iterable[Clip]) -> dict[str, np.ndarray]:
    """`offsets`, `edges` and `sigmas` of the module's docstring, float32, from rendered clips."""
    parts = zip(*(_errors(body, clip) for clip in clips))
    errors, slopes, visibility = (np.concatenate(part) for part in parts)
    offsets = np.stack([_offset(errors[:, k], slopes[:, k], visibility[:, k]) for k in range(33)])
    offsets = (offsets + offsets[BLAZEPOSE_MIRROR] * (-1, 1, 1)) / 2
    left = np.linalg.norm(errors - np.einsum("nkij,kj->nki", slopes, offsets), axis=-1)
    sigmas = np.stack([_sigmas(left, visibility, *ends) for ends in zip(EDGES, EDGES[1:])])
    sigmas = (sigmas + sigmas[:, BLAZEPOSE_MIRROR]) / 2
    return {name: np.float32(x) for name, x in (("offsets", offsets), ("edges", EDGES), ("sigmas", sigmas))}


def error_factor(clips: Iterable[Clip], lifted: Iterable[Motion]) -> np.ndarray:
    """`factor` of the module's docstring, float32, from clips and the network's answers."""
    errors = np.concatenate([_network_errors(clip, motion)[::EVERY] for clip, motion in zip(clips, lifted)])
    sizes = np.linalg.norm(errors[:, 0], axis=-1), np.abs(errors[:, 24, 2])
    errors = np.clip(errors[(sizes[0] < LOST) & (sizes[1] < LOST)], -LARGEST, LARGEST)
    mirrored = errors[:, [*SMPL_MIRROR, 24]] * (1, -1, -1)
    mirrored[:, 24] = errors[:, 24] * (-1, 1, 1)
    rows = np.concatenate([errors, mirrored]).reshape(-1, 75)
    covariance = rows.T @ rows / len(rows)
    for _ in range(ROUNDS):  # expectation maximisation of a multivariate t
        square = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(covariance), rows)
        weight = (FREEDOM + 75) / (FREEDOM + square)
        covariance = (rows * weight[:, None]).T @ rows / len(rows)
    return np.float32(np.linalg.cholesky(covariance + 1e-6 * np.eye(75)))


def _network_errors(clip, motion):
    """(N, 25, 3) of the seen frames: the correction, as in `hpof_jax.picture_fit`, that leads to the ground truth."""
    turns = (Rotation.from_rotvec(x.reshape(-1, 3)) for x in (motion.pose, clip["pose"]))
    turns = functools.reduce(lambda found, true: found.inv() * true, turns).as_rotvec().reshape(-1, 24, 3)
    # The place at which the true body looks as it does with the assumed focal length.
    stretched = clip["joints"][:, 0] * (1, 1, clip["focal_length"] / clip["true_focal_length"])
    found = motion.joints[:, 0]
    along = stretched[:, 2:] / found[:, 2:] - 1
    across = (stretched - found * (1 + along))[:, :2] / found[:, 2:]
    shift = np.concatenate([across, along], axis=1)
    return np.concatenate([turns, shift[:, None]], axis=1)[clip["seen"]]


def _errors(body, clip):
    """Of the seen frames: 2D errors (N, 33, 2) in metres, their derivative by an offset (N, 33, 2, 3), visibility."""
    seen, (height, width) = clip["seen"], clip["image_size"]
    pose, transl = clip["pose"][seen], clip["transl"][seen]
    filled = np.resize(np.arange(len(pose)), len(seen))  # one size compiles once
    points, world = (
        np.asarray(x)[: len(pose)] for x in _posed(body, clip["betas"], pose[filled], transl[filled])
    )
    observed, depth = clip["landmarks_2d"][seen], points[..., 2:]
    rays = points[..., :2] / depth
    errors = ((observed[..., :2] - (width / 2, height / 2)) / clip["true_focal_length"] - rays) * depth
    slopes = world[..., :2, :] - rays[..., None] * world[..., 2:, :]
    return errors, slopes, observed[..., 2]


@jax.jit
def _posed(body, betas, pose, transl):
    rotations = axis_angle_to_matrix(pose)
    points, _ = keypoints(body, body.landmarks, betas, rotations, transl)
    world, _ = forward_kinematics(rest_joints(body, betas), rotations, body.parents)
    return points, jnp.take(world, CARRIERS, axis=1)


def _offset(errors, slopes, visibility):
    """The offset (3,) of one landmark, metres."""
    offset, visible = np.zeros(3), visibility > VISIBLE
    for _ in range(ROUNDS):
        distance = np.linalg.norm(errors - slopes @ offset, axis=-1)
        weight = visible / (1 + (distance / ROBUST) ** 2)
        normal = np.einsum("nij,n,nik->jk", slopes, weight, slopes) + 1e-3 * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("nij,n,ni->j", slopes, weight, errors))
    return offset


def _sigmas(distance, visibility, low, high):
    """The noise (33,) of the landmarks with a visibility in (low, high], metres."""
    inside = (visibility > low) & (visibility <= high)
    common = np.median(distance[inside]) if inside.any() else np.inf
    found = [
        np.median(distance[mask, k]) if mask.sum() >= FEWEST else common for k, mask in enumerate(inside.T)
    ]
    return np.array(found) / MEDIAN


if __name__ == "__main__":
    main()
