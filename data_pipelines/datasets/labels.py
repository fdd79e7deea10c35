"""The ground truth of a sequence as training labels.

Pose parameters of SMPL mean the same on this package's free body; shape parameters do not. So the shape of the free
body is fitted to the lengths of the person's limbs, and its pelvis is put where the person's is.
"""

import functools

import numpy as np

from data_pipelines.datasets.base import POINTS, Sequence
from hpof_jax.body.files import load_body
from hpof_jax.body.skeletons import SMPL_JOINTS

# Bones whose ends all skeletons agree on well enough, and the width of the shoulders.
BONES = tuple(
    (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for start, end in (
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("hip", "shoulder"),
    )
)
LENGTH_ERROR = 0.01  # metres, by which the bones of two body models differ; a beta has a deviation of 1
STEPS = 10


def labels_of(sequence: Sequence) -> dict[str, np.ndarray]:
    """The labels of a record, see `data_pipelines.observed.prepared`: has_smpl, has_3d, pose, betas, transl.

    `has_smpl` needs a pose, and points in 3D that give the shape of the free body and its place.
    """
    frames = len(sequence)
    joints, names = _points(sequence)
    labels = {
        "pose": np.zeros((frames, 24, 3), np.float32),
        "transl": np.zeros((frames, 3), np.float32),
        "betas": np.zeros(10, np.float32),
        "has_smpl": np.array(False),
        "has_3d": np.array(sequence.keypoints_3d is not None),
    }
    if sequence.pose is None or joints is None or not sequence.valid.any():
        return labels
    betas = fit_betas(joints[sequence.valid], names)
    rest, shapes = _rest_skeleton()
    pelvis = joints[:, names.index("pelvis")] - (rest[0] + shapes[:, 0].T @ betas)
    valid = sequence.valid[:, None]
    return labels | {
        "pose": np.where(valid[..., None], sequence.pose, 0).astype(np.float32),
        "transl": np.where(valid, pelvis, 0).astype(np.float32),
        "betas": betas.astype(np.float32),
        "has_smpl": np.array(True),
        "has_3d": np.array(True),
    }


def fit_betas(points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The shape of the free body, (10,), whose limbs are as long as those of points (T, K, 3) in metres.

    A regularised least-squares fit (Gauss-Newton) of the median length of each of `BONES`. "hip" to "shoulder"
    depends on the pose, too, but its median is that of a straight back.
    """
    rest, shapes = _rest_skeleton()
    bones = [(names.index(a), names.index(b)) for a, b in BONES if a in names and b in names]
    wanted = [(SMPL_JOINTS.index(names[a]), SMPL_JOINTS.index(names[b])) for a, b in bones]
    if not bones:
        return np.zeros(10)
    ends = np.array(bones).T
    lengths = np.median(np.linalg.norm(points[:, ends[1]] - points[:, ends[0]], axis=-1), axis=0)
    start, end = np.array(wanted).T
    bone, change = rest[end] - rest[start], shapes[:, end] - shapes[:, start]  # (B, 3), (10, B, 3)
    betas = np.zeros(10)
    for _ in range(STEPS):
        vector = bone + np.tensordot(betas, change, axes=1)
        now = np.linalg.norm(vector, axis=-1)
        jacobian = np.einsum("kbi,bi->bk", change, vector / now[:, None]) / LENGTH_ERROR
        error = (lengths - now) / LENGTH_ERROR
        # The prior: betas are about standard normal.
        betas = np.linalg.solve(jacobian.T @ jacobian + np.eye(10), jacobian.T @ (error + jacobian @ betas))
    return np.clip(betas, -5, 5)


def _points(sequence: Sequence) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The points in 3D, (T, K, 3), and their names: SMPL's joints, or annotated keypoints that have all limbs."""
    if sequence.joints is not None:
        return sequence.joints, SMPL_JOINTS
    keypoints = sequence.keypoints_3d
    if keypoints is None or not sequence.valid.any():
        return None, ()
    known = keypoints[sequence.valid][..., 3].min(axis=0) > 0
    names = tuple(name for name, there in zip(POINTS, known) if there)
    if "pelvis" not in names:
        return None, ()
    return keypoints[:, known, :3], names


@functools.cache
def _rest_skeleton() -> tuple[np.ndarray, np.ndarray]:
    """The free body's rest joints (24, 3), and their changes per beta (10, 24, 3)."""
    body = load_body()
    return np.asarray(body.J_template, np.float64), np.asarray(body.J_shapedirs, np.float64)
