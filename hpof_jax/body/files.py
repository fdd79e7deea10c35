"""Body files in SMPL's format: read safely, checked, and written."""

import os
import pathlib
import zipfile

import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, fold_regressor
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS, SMPL_PARENTS
from hpof_jax.errors import UserError

FREE_BODY = pathlib.Path(__file__).parent.parent / "assets" / "free_body.npz"


def load_body(path: str | os.PathLike | None = None) -> BodyModel:
    """Reads a body model.

    Args:
      path: an SMPL-format `.npz`; None is the free body that comes with the package (CC0).

    Raises:
      UserError: no such file, not a body file, or arrays of the wrong shape or with NaN.
    """
    path = pathlib.Path(FREE_BODY if path is None else path)
    return _to_model(_read(path), path)


def save_body(model: BodyModel, path: str | os.PathLike) -> None:
    """Writes a body as an SMPL-format `.npz`; an existing file is replaced only by a complete one."""
    parents = np.array(model.parents)
    arrays = dict(
        v_template=model.v_template,
        shapedirs=model.shapedirs,
        posedirs=model.posedirs,
        J_regressor=model.J_regressor,
        weights=model.lbs_weights,
        kintree_table=np.stack([parents, np.arange(len(parents))]),
        f=model.faces,
        landmark_regressor=model.landmark_regressor,
        name=np.array(model.name),
    )
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez_compressed(file, **{key: np.asarray(value) for key, value in arrays.items()})
    os.replace(partial, path)


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"There is no body file at {path}: give the path of an SMPL-format .npz.")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(
            f"{path} is not a readable SMPL-format .npz ({error}): download or convert it again."
        ) from error


def _to_model(arrays: dict[str, np.ndarray], path: pathlib.Path) -> BodyModel:
    def take(key, shape):
        if key not in arrays:
            raise UserError(f"{path} has no array '{key}', so it is no SMPL-format body: give another file.")
        array = np.asarray(arrays[key])
        if len(array.shape) != len(shape) or any(
            want is not None and have != want for have, want in zip(array.shape, shape, strict=True)
        ):
            wanted = tuple("any" if want is None else want for want in shape)
            raise UserError(
                f"'{key}' in {path} has shape {array.shape} instead of {wanted}: give another file."
            )
        if array.dtype.kind not in "fiu" or not np.all(np.isfinite(array)):
            raise UserError(f"'{key}' in {path} holds something else than finite numbers: give another file.")
        return array

    joints = len(SMPL_JOINTS)
    v_template = take("v_template", (None, 3))
    vertices = len(v_template)
    shapedirs = take("shapedirs", (vertices, 3, None))[..., :10]
    posedirs = take("posedirs", (vertices, 3, None))
    regressor = take("J_regressor", (joints, vertices))
    weights = take("weights", (vertices, joints))
    faces = take("f", (None, 3)).astype(np.int32)
    if faces.min() < 0 or faces.max() >= vertices:
        raise UserError(f"'f' in {path} points at vertices that do not exist: give another file.")
    if posedirs.shape[2] not in (0, 9 * (joints - 1)):
        raise UserError(
            f"'posedirs' in {path} has {posedirs.shape[2]} components instead of 0 or 207: give another file."
        )
    components = np.concatenate([v_template[..., None], shapedirs, posedirs], axis=-1).astype(np.float64)
    rest = np.einsum("jv,vck->kjc", regressor.astype(np.float64), components[..., : 1 + shapedirs.shape[2]])
    basis = components.transpose(2, 1, 0).reshape(components.shape[2], -1)
    landmarks, rigid = _landmark_regressor(arrays, regressor)
    return BodyModel(
        basis=jnp.asarray(basis, jnp.float32),
        J_template=jnp.asarray(rest[0], jnp.float32),
        J_shapedirs=jnp.asarray(rest[1:], jnp.float32),
        J_regressor=jnp.asarray(regressor, jnp.float32),
        skinning=jnp.asarray(weights.T, jnp.float32),
        faces=jnp.asarray(faces),
        landmark_regressor=jnp.asarray(landmarks, jnp.float32),
        landmarks=fold_regressor(basis, weights, landmarks, rigid),
        parents=SMPL_PARENTS,
        num_betas=shapedirs.shape[2],
        name=str(arrays.get("name", path.stem)),
    )


# SMPL's topology has the face, hand and foot points at these vertices (Pavlakos et al. 2019, SMPL-X's vertex list).
_SMPL_VERTICES = {
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
    "right_pinky": 6442,
    "left_heel": 3387,
    "right_heel": 6787,
    "left_foot_index": 3216,
    "right_foot_index": 6617,
}


def _landmark_regressor(
    arrays: dict[str, np.ndarray], joint_regressor: np.ndarray
) -> tuple[np.ndarray, dict[int, int]]:
    """BlazePose-33 on this body: a regressor (33, V), and which landmarks are joints (landmark -> joint)."""
    rigid = {
        row: SMPL_JOINTS.index(name) for row, name in enumerate(BLAZEPOSE_LANDMARKS) if name in SMPL_JOINTS
    }
    if "landmark_regressor" in arrays:
        regressor = np.array(arrays["landmark_regressor"])
    else:
        regressor = np.zeros((len(BLAZEPOSE_LANDMARKS), joint_regressor.shape[1]))
        for row, name in enumerate(BLAZEPOSE_LANDMARKS):
            if row not in rigid:
                point = f"{name.split('_')[0]}_eye" if "eye" in name else name
                regressor[row, _SMPL_VERTICES.get(point, _SMPL_VERTICES["nose"])] = 1.0
    for row, joint in rigid.items():
        regressor[row] = joint_regressor[joint]
    return regressor, rigid
