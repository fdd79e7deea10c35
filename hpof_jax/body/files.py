"""Reads and writes body files: SMPL, SMPL-H and the free body. Nothing in a file is executed."""

import dataclasses
import functools
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.archives import read_arrays, reason
from hpof_jax.atomic import replacing
from hpof_jax.body.keypoint_sets import keypoint_basis, landmark_regressor
from hpof_jax.body.model import BodyModel
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_PARENTS
from hpof_jax.body.unpickle import read_pickle
from hpof_jax.errors import UserError

FREE_BODY = pathlib.Path(__file__).parent.parent / "assets" / "free_body.npz"
LARGEST = 2**30  # bytes; four times the largest SMPL file, with 300 shape components as text

_WHAT, _CURE = "a readable body file", "download or make it again"
_KEYS = "v_template shapedirs posedirs J_regressor weights kintree_table f landmark_regressor name".split()
_WRISTS = {20: range(22, 37), 21: range(37, 52)}  # SMPL-H: wrist -> joints of its fingers, three each
_SMPLH_PARENTS = SMPL_PARENTS[:22] + tuple(
    wrist if joint % 3 == fingers[0] % 3 else joint - 1
    for wrist, fingers in _WRISTS.items()
    for joint in fingers
)
_TREES = {24: SMPL_PARENTS, 52: _SMPLH_PARENTS}
_OTHER_MODELS = {55: "SMPL-X", 16: "MANO", 5: "FLAME"}
# First bytes of other kinds of files -> what the file is, and what to do.
_NO_BODIES = {
    b"<": "a web page, as a download without a login gives: log in at its site and download it again",
    b"version https://git-lfs": "a pointer to a file in Git LFS: get the file itself with 'git lfs pull'",
    b"\x1f\x8b": "a packed archive: unpack it and give the file that is in it",
    b"\xfd7zXZ": "a packed archive: unpack it and give the file that is in it",
    b"\x93NUMPY": "a single array: give a whole body",
}


def load_body(path: str | os.PathLike | None = None, num_betas: int = 10) -> BodyModel:
    """Reads a body model.

    SMPL's files, v1.0.0 and v1.1.0, are read as downloaded: `.pkl`, without chumpy, and without running
    anything in them. SMPL-H's `.npz` and `.pkl` become a body with stiff fingers: the hand joint is the
    middle finger's knuckle and moves all fingers together. The format is recognised by the content, not by
    the name.

    Args:
      path: an SMPL or SMPL-H file, or one that `save_body` wrote. None is the free body of this package
        (CC0), which is loaded once per process; every call returns the same object.
      num_betas: use only this many shape components, the first ones. SMPL's files have 10 or 300, SMPL-H's
        16.

    Raises:
      UserError: the file is missing, is no SMPL-format body, holds more than arrays, has arrays of the wrong
        shape or with NaN, or has fewer shape components.
    """
    if path is None:
        device = jax.config.jax_default_device  # type: ignore[attr-defined]  # JAX adds it at run time
        return _free_body(num_betas, device)
    path = pathlib.Path(path)
    return _to_model(_read(path), path, num_betas)


def save_body(model: BodyModel, path: str | os.PathLike) -> None:
    """Writes a body as an SMPL-format `.npz`. `load_body` reads the same arrays back, bit for bit.

    An existing file is replaced only by a complete one.

    Raises:
      UserError: the file cannot be written, or the body is a coarse one, which has no regressors.
    """
    if model.J_regressor.shape[1] != model.skinning.shape[1]:
        raise UserError(
            f"{model.name!r} is a coarse body, which has no regressors: write the whole body to {path}."
        )
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
    with replacing(path, "The body") as partial, partial.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{key: np.asarray(value) for key, value in arrays.items()}
        )


@functools.cache
def _free_body(num_betas: int, device: object) -> BodyModel:
    """The free body, loaded once per default device. All callers can share its immutable arrays."""
    with jax.ensure_compile_time_eval():  # arrays, not tracers, if the first call is under jit
        return _to_model(_read(FREE_BODY), FREE_BODY, num_betas)


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a body file by key; keys that the file lacks are left out."""
    if not path.is_file():
        raise UserError(
            f"There is no body file at {path}: SMPL's files need a registration at smpl.is.tue.mpg.de; "
            "without a path, load_body() loads the free body, which needs none."
        )
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(b"PK"):
            return read_arrays(path, _WHAT, _CURE, _KEYS, LARGEST)
        if not start:
            raise UserError(f"{path} is empty: download it again.")
        for magic, what in _NO_BODIES.items():
            if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(magic):
                raise UserError(f"{path} is {what}.")
        if path.stat().st_size > LARGEST:
            raise ValueError("it is larger than any body")
        return read_pickle(path, _KEYS)
    except UserError:
        raise
    except Exception as error:  # damaged and malicious files raise almost any exception
        raise UserError(f"{path} is not {_WHAT} ({reason(error)}): {_CURE}.") from error


def _to_model(arrays: dict[str, np.ndarray], path: pathlib.Path, num_betas: int) -> BodyModel:
    def take(key, *shape):
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
        with np.errstate(all="ignore"):
            finite = array.dtype.kind in "fiu" and np.all(np.isfinite(array.astype(np.float32)))
        if not finite:
            raise UserError(f"'{key}' in {path} does not hold finite numbers: give another file.")
        return array

    weights = take("weights", None, None)
    vertices, joints = weights.shape
    if joints not in _TREES:
        other = _OTHER_MODELS.get(joints, f"a model of {joints} joints")
        raise UserError(f"{path} is {other}, which is not supported: give a file of SMPL or SMPL-H.")
    v_template = take("v_template", vertices, 3)
    shapedirs = take("shapedirs", vertices, 3, None)
    posedirs = take("posedirs", vertices, 3, None)
    regressor = take("J_regressor", joints, vertices)
    faces = take("f", None, 3)
    (root, *parents), numbers = take("kintree_table", 2, joints).tolist()
    if not 1 <= num_betas <= shapedirs.shape[2]:
        raise UserError(f"{path} has {shapedirs.shape[2]} shape components: give num_betas from 1 to that.")
    if posedirs.shape[2] not in (0, 9 * (joints - 1)):
        raise UserError(
            f"'posedirs' in {path} has {posedirs.shape[2]} components instead of 0 or {9 * (joints - 1)}: "
            "give another file."
        )
    # The root's parent is -1, or -1 cast to some unsigned type.
    if root in range(joints) or parents != [*_TREES[joints][1:]] or numbers != [*range(joints)]:
        raise UserError(f"'kintree_table' in {path} is not SMPL's tree of joints: give another file.")
    if not faces.size or faces.min() < 0 or faces.max() >= vertices:
        raise UserError(f"'f' in {path} refers to vertices that do not exist: give another file.")
    if np.abs(weights.sum(axis=1, dtype=np.float64) - 1).max() > 1e-3:
        raise UserError(f"The rows of 'weights' in {path} do not add up to 1: give another file.")
    if joints == 52:
        weights, regressor, posedirs = _with_stiff_fingers(weights, regressor, posedirs)

    # Cast to single precision first: derived arrays are then the same when a written body is read again.
    parts = [v_template[..., None], shapedirs[..., :num_betas], posedirs]
    basis = np.concatenate([part.astype(np.float32) for part in parts], axis=-1).transpose(2, 1, 0)
    regressor = regressor.astype(np.float32)
    rest = basis[: 1 + num_betas].astype(np.float64) @ regressor.T.astype(np.float64)
    own = None
    if "landmark_regressor" in arrays:
        own = take("landmark_regressor", len(BLAZEPOSE_LANDMARKS), vertices)
    model = BodyModel(
        basis=jnp.asarray(basis.reshape(len(basis), -1)),
        J_template=jnp.asarray(rest[0].T, jnp.float32),
        J_shapedirs=jnp.asarray(rest[1:].swapaxes(1, 2), jnp.float32),
        J_regressor=jnp.asarray(regressor),
        skinning=jnp.asarray(weights.T, jnp.float32),
        faces=jnp.asarray(faces.astype(np.int32)),
        landmark_regressor=jnp.asarray(landmark_regressor(regressor, own, str(path)), jnp.float32),
        landmarks=None,  # type: ignore[arg-type]  # made from the model, below
        parents=SMPL_PARENTS,
        num_betas=num_betas,
        name=str(arrays.get("name", path.stem)),
    )
    return dataclasses.replace(model, landmarks=keypoint_basis(model, "blazepose33"))


def _with_stiff_fingers(
    weights: np.ndarray, regressor: np.ndarray, posedirs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SMPL-H's 52 joints (Romero et al. 2017) to SMPL's 24, whose last two are the hands.

    A hand joint lies at SMPL-H's first joint of the middle finger, on the hand's midline, and has the weights
    of all its fingers. With hand rotations of zero, the body is exactly SMPL-H's with stretched fingers. The
    pose blend shapes of the body are kept, those of the fingers are dropped, and the hand joints have none.
    """
    left, right = _WRISTS.values()
    hands = [weights[:, fingers.start : fingers.stop].sum(axis=1, keepdims=True) for fingers in (left, right)]
    weights = np.concatenate([weights[:, :22], *hands], axis=1)
    regressor = regressor[[*range(22), left[3], right[3]]]
    if posedirs.shape[2]:
        body = posedirs[..., : 9 * 21]
        posedirs = np.concatenate([body, np.zeros_like(body[..., : 9 * 2])], axis=-1)
    return weights, regressor, posedirs
