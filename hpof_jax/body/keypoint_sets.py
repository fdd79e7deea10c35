"""The points of COCO, Human3.6M, OpenPose and other keypoint sets on a body.

A point is a weighted mean of the body's joints, landmarks and vertices, or a row of a regressor file for
SMPL. `docs/keypoints.md` lists the sets and says which are approximations.
"""

import os
import pathlib

import jax.numpy as jnp
import numpy as np

from hpof_jax.archives import map_array
from hpof_jax.body.anatomical import anatomical_basis
from hpof_jax.body.model import BodyModel, KeypointBasis, fold_regressor
from hpof_jax.body.skeletons import (
    BLAZEPOSE_LANDMARKS,
    KEYPOINT_SETS,
    SMPL_JOINTS,
    keypoint_names,
    mirror_permutation,
)
from hpof_jax.errors import UserError

# Vertices of SMPL's mesh on the face, hands and feet (SMPL-X's vertex list, Pavlakos et al., CVPR 2019).
_SMPL_LANDMARKS = {
    "nose": 332,
    "left_eye": 2800,
    "right_eye": 6260,
    "left_ear": 583,
    "right_ear": 4071,
    "left_thumb": 2746,
    "right_thumb": 6191,
    "left_index": 2319,
    "right_index": 5782,
    "left_pinky": 2673,
    "right_pinky": 6133,
    "left_heel": 3387,
    "right_heel": 6787,
    "left_foot_index": 3216,
    "right_foot_index": 6617,
}
_SMPL_TOES = {
    "left_big_toe": 3216,
    "right_big_toe": 6617,
    "left_small_toe": 3226,
    "right_small_toe": 6624,
}
_NUM_SMPL_VERTICES = 6890

# The free body has the same number of vertices in another order: the front of each toe, and the crown.
_FREE_BODY_VERTICES = {
    "left_big_toe": 5876,
    "right_big_toe": 2443,
    "left_small_toe": 6827,
    "right_small_toe": 3340,
    "crown": 271,
}
_FREE_BODY_OPENPOSE = {
    "neck": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "mid_hip": {"left_hip": 0.5, "right_hip": 0.5},
}
# Mixes for the free body, where SMPL has rows of regressor files. Bones are as long as in Human3.6M's own
# skeleton: compared with SMPL, hips are higher and wider apart, shoulders closer, the neck lies between the
# collarbones, and the head ends below the crown.
_FREE_BODY_MIXES = {
    "pelvis": {"left_hip": 0.25, "right_hip": 0.25, "pelvis": 0.5},
    "left_hip": {"left_hip": 1.0, "right_hip": -0.5, "pelvis": 0.5},
    "right_hip": {"right_hip": 1.0, "left_hip": -0.5, "pelvis": 0.5},
    "spine": {"spine1": 0.4, "spine2": 0.6},
    "thorax": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "neck": {"left_shoulder": 0.25, "right_shoulder": 0.25, "neck": 0.5},
    "jaw": {"left_mouth": 0.25, "right_mouth": 0.25, "head": 0.25, "neck": 0.25},
    "head_top": {"left_ear": 0.3, "right_ear": 0.3, "crown": 0.4},
    "head_top_lsp": {"crown": 1.0},
    "left_shoulder": {"left_shoulder": 0.8, "left_collar": 0.2},
    "right_shoulder": {"right_shoulder": 0.8, "right_collar": 0.2},
}

# The rows of HMR's and SPIN's regressor files, and the sets that need them.
_ROWS = {
    "J_regressor_h36m.npy": KEYPOINT_SETS["h36m17"],
    "J_regressor_extra.npy": tuple(
        "right_hip left_hip neck head_top_lsp pelvis thorax spine jaw head_top".split()
    ),
}
_FILE_OF = dict.fromkeys(("h36m17", "mpi_inf_3dhp17", "lsp14"), "J_regressor_h36m.npy")
_FILE_OF["spin49"] = "J_regressor_extra.npy"


def keypoint_basis(model: BodyModel, name: str, regressor: str | os.PathLike | None = None) -> KeypointBasis:
    """A keypoint set on a body, for `keypoints(model, basis, betas, rotations)`.

    The free body has every set. On SMPL, `smpl24`, `coco17`, `openpose25`, `blazepose33` and
    `anatomical12` need no file.
    `h36m17`, `mpi_inf_3dhp17` and `lsp14` (the 14 joints of 3DPW's protocol) need `J_regressor_h36m.npy` (17,
    V), the legs in either order; `spin49` needs `J_regressor_extra.npy` (9, V).

    Args:
      model: a whole body; the basis also works with the body that `coarse.decimate` makes of it.
      name: one of `skeletons.KEYPOINT_SETS`, which gives the order of the points.
      regressor: the `.npy` file, for a set that needs one.

    Raises:
      UserError: there is no such set, the file is missing, not needed, unreadable or a different one, or the
        body's vertices are in an unknown order.
    """
    names, file = keypoint_names(name), _FILE_OF.get(name)
    free = model.name == "free_body"
    points = _anchors(model)
    if regressor is not None and (free or file is None):
        raise UserError(f"{name} on {model.name!r} takes no regressor file: leave {regressor} out.")
    if regressor is None and file and not free:
        raise UserError(f"{name} on {model.name!r} needs SPIN's {file}: give its path as `regressor`.")
    if name == "anatomical12":
        return anatomical_basis(model)
    if free:
        points |= _picks(_FREE_BODY_VERTICES, model)
        openpose = {point: _mix(mix, points) for point, mix in _FREE_BODY_OPENPOSE.items()}
        regressed = {
            point: _mix(_FREE_BODY_MIXES[point], points)
            for point in _ROWS.get(file, ())
            if point in _FREE_BODY_MIXES
        }
        if name == "mpi_inf_3dhp17":
            regressed["head_top"] = points["crown"]
    else:
        if name in ("openpose25", "spin49"):
            _check_topology(model.name, model.skinning.shape[1])
            points |= _picks(_SMPL_TOES, model)
        openpose = {"mid_hip": points["pelvis"]}
        regressed = _read_regressor(pathlib.Path(regressor), file, model) if file else {}
    points |= {f"{point}_openpose": row for point, row in (points | openpose).items()} | regressed
    wanted = [f"{point}_openpose" for point in names] if name == "openpose25" else names
    rows = np.stack([points[point] for point in wanted])
    if regressed or name == "openpose25":
        _check_sides(rows, names, name, model)
    return _fold(rows, model)


def landmark_regressor(
    joint_regressor: np.ndarray, landmarks: np.ndarray | None = None, where: str = "the body"
) -> np.ndarray:
    """BlazePose's 33 landmarks from vertices, (33, V).

    Args:
      joint_regressor: (24, V), used for the landmarks that are joints.
      landmarks: (33, V), used for the others. None: SMPL's vertices, with the eye in place of its corners,
        the nose of the mouth, and the fingertips of the knuckles.
      where: the name of the body or file, for the error message.

    Raises:
      UserError: `landmarks` is None, and the body does not have SMPL's number of vertices.
    """
    if landmarks is None:
        _check_topology(where, joint_regressor.shape[1])
        points = [f"{name.split('_')[0]}_eye" if "eye" in name else name for name in BLAZEPOSE_LANDMARKS]
        vertices = [_SMPL_LANDMARKS.get(point, _SMPL_LANDMARKS["nose"]) for point in points]
        landmarks = np.arange(joint_regressor.shape[1]) == np.array(vertices)[:, None]
    regressor = np.array(landmarks, np.float64)
    for row, name in enumerate(BLAZEPOSE_LANDMARKS):
        if name in SMPL_JOINTS:
            regressor[row] = joint_regressor[SMPL_JOINTS.index(name)]
    return regressor


def _anchors(model: BodyModel) -> dict[str, np.ndarray]:
    """The joints and landmarks of a body by name, as weights (V + 24,) of vertices, then joints."""
    num_vertices, num_joints = model.skinning.shape[1], len(SMPL_JOINTS)
    if model.landmark_regressor.shape[1] != num_vertices:
        raise UserError(
            f"{model.name!r} is a coarse body: make the keypoint basis of the whole one, which fits both."
        )
    landmarks = np.pad(np.asarray(model.landmark_regressor, np.float64), ((0, 0), (0, num_joints)))
    joints = np.eye(num_joints, num_vertices + num_joints, num_vertices)
    return dict(zip(BLAZEPOSE_LANDMARKS, landmarks, strict=True)) | dict(
        zip(SMPL_JOINTS, joints, strict=True)
    )


def _picks(vertices: dict[str, int], model: BodyModel) -> dict[str, np.ndarray]:
    size = model.skinning.shape[1] + len(SMPL_JOINTS)
    return {point: np.eye(1, size, vertex)[0] for point, vertex in vertices.items()}


def _mix(shares: dict[str, float], points: dict[str, np.ndarray]) -> np.ndarray:
    return sum(share * points[point] for point, share in shares.items())


def _read_regressor(path: pathlib.Path, file: str, model: BodyModel) -> dict[str, np.ndarray]:
    """The rows of one of SPIN's files by the name of the point."""
    names, num_vertices = _ROWS[file], model.skinning.shape[1]
    rows = map_array(path, "a readable .npy", f"give the path of SPIN's {file}")
    shape = (len(names), num_vertices)
    if rows.shape != shape or rows.dtype.kind not in "fiu":
        raise UserError(f"{path} does not hold {shape} numbers: give the path of SPIN's {file}.")
    rows = np.array(rows, np.float64)
    if not np.all(np.abs(rows.sum(axis=1) - 1) < 0.1):  # NaN fails as well
        raise UserError(f"The rows of {path} do not add up to 1: give the path of SPIN's {file}.")
    if file == "J_regressor_h36m.npy":
        # SPIN's file has the left leg first; Pose2Mesh's "correct" file has the right leg first, as the data
        # set.
        first, second = (rows[[1, 4]] @ np.asarray(model.v_template))[:, 0]
        if first > second:
            rows[1:7] = rows[[4, 5, 6, 1, 2, 3]]
    return dict(zip(names, np.pad(rows, ((0, 0), (0, len(SMPL_JOINTS)))), strict=True))


def _check_topology(where: str, num_vertices: int) -> None:
    if num_vertices != _NUM_SMPL_VERTICES:
        raise UserError(
            f"{where} has {num_vertices} vertices and not SMPL's {_NUM_SMPL_VERTICES}, so its landmarks are "
            "unknown: use the free body or an SMPL file."
        )


def _check_sides(rows: np.ndarray, names: tuple[str, ...], name: str, model: BodyModel) -> None:
    """Refuses points that are not symmetric: the vertex order or the regressor is that of another body."""
    rest = rows @ np.concatenate([model.v_template, model.J_template]) - np.asarray(model.J_template[0])
    partners = rest[mirror_permutation(names)]
    left = [row for row, point in enumerate(names) if point.startswith("left_")]
    asymmetry = np.linalg.norm(partners * (-1, 1, 1) - rest, axis=1)
    if asymmetry.max() > 0.05 or (rest - partners)[left, 0].min() < 0.01:
        raise UserError(
            f"On {model.name!r} the left and right points of {name} do not match: its vertices are not in "
            "SMPL's order, or the regressor file belongs to another body; take files that belong together."
        )


def _fold(rows: np.ndarray, model: BodyModel) -> KeypointBasis:
    """Folds rows (K, V + 24) over vertices and joints. Points on joints move rigidly with the joint."""
    skin, joints = np.split(rows, [model.skinning.shape[1]], axis=1)
    owners, moved_by = np.nonzero(joints)
    mass = joints[owners, moved_by]
    rest = np.zeros((len(model.basis), len(SMPL_JOINTS), 3))
    rest[: 1 + model.num_betas] = np.concatenate([model.J_template[None], model.J_shapedirs])
    blend = (rest[:, moved_by] * mass[:, None]).reshape(len(rest), -1)
    collect = np.arange(len(rows))[:, None] == owners
    of_joints = KeypointBasis(
        *(jnp.asarray(x, jnp.float32) for x in (blend, mass, collect)), tuple(moved_by.tolist())
    )
    if not skin.any():
        return of_joints
    of_skin = fold_regressor(model.basis, model.lbs_weights, skin)
    return KeypointBasis(
        *(
            jnp.concatenate([getattr(of_skin, part), getattr(of_joints, part)], axis=-1)
            for part in ("blend", "mass", "collect")
        ),
        of_skin.joints + of_joints.joints,
    )
