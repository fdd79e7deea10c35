"""Weights files: a model's parameters and its config in one `.npz`."""

import json
import os
import pathlib
import shlex
from typing import Any, BinaryIO

import flax.traverse_util
import jax
import ml_collections
import numpy as np
from absl import logging

from hpof_jax.archives import damage, read_arrays
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError

ASSETS = pathlib.Path(__file__).parent.parent / "assets"
SHIPPED = ASSETS / "hpof.npz"
# These names stand for the files of the package wherever weights are given.
NAMED = {"nc": SHIPPED, "free": ASSETS / "hpof_free.npz"}
NAME = "weights.npz"  # in the folder of a training run, and in that of each checkpoint
CHECKPOINTS = "checkpoints"  # in the folder of a training run
DEEPEST = 20  # modules within modules


def load_weights(path: str | os.PathLike | None = None) -> tuple[Any, ml_collections.ConfigDict]:
    """Parameters and the config of their model, as `build.make_model` takes it.

    Args:
      path: a weights `.npz`, the folder of a training run with a `weights.npz` in it, or "nc" or "free"
        for weights of this package: CC BY-NC 4.0, or without a non-commercial clause. None: "nc". If a run's
        `weights.npz` is damaged or missing, the best whole one of its checkpoints is taken, with a warning.
        Every array of an `.npz` has a checksum.

    Raises:
      UserError: there is no such file, or it is not a weights file.
    """
    file = weights_file(path)
    if file in NAMED.values() or not pathlib.Path(path).is_dir():
        return _read(file)
    first_error = None
    for candidate in _of_run(pathlib.Path(path)):
        try:
            loaded = _read(candidate)
        except UserError as error:
            first_error = first_error or error
            continue
        if candidate.parent != pathlib.Path(path):
            logging.warning("%s is damaged or missing: %s is used.", pathlib.Path(path) / NAME, candidate)
        return loaded
    raise first_error


def _of_run(folder: pathlib.Path) -> list[pathlib.Path]:
    """The weights files of a training run: its own, then those of its checkpoints, the best first."""

    def rank(path: pathlib.Path) -> tuple[float, int]:
        step = path.parent.name
        try:
            error = min(json.loads((path.parent / "metrics" / "metrics").read_text()).values())
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            error = float("inf")
        return error, -int(step) if step.isdecimal() else 0

    kept = sorted((folder / CHECKPOINTS).glob(f"*/{NAME}"), key=rank)
    return [path for path in (folder / NAME, *kept) if path.is_file()]


def _read(path: pathlib.Path) -> tuple[Any, ml_collections.ConfigDict]:
    kind = "a weights file of this package", "give a training run's folder or a weights .npz"
    arrays = read_arrays(path, *kind)
    with damage(path, *kind):
        if "config" not in arrays:
            raise ValueError("it has no config")
        config = json.loads(str(arrays.pop("config")))
        if not isinstance(config, dict):
            raise ValueError("its config is no dictionary")
        for key, array in arrays.items():
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise ValueError(f"'{key}' does not hold finite numbers")
            ends = [at for at, sign in enumerate(key) if sign == "/"]
            if len(ends) > DEEPEST or any(key[:end] in arrays for end in ends):
                raise ValueError(f"the name '{key}' has no place in a tree of parameters")
        return flax.traverse_util.unflatten_dict(arrays, sep="/"), ml_collections.ConfigDict(config)


def weights_file(path: str | os.PathLike | None = None) -> pathlib.Path:
    """The file that `load_weights` reads first.

    Raises:
      UserError: there is no such file.
    """
    path = SHIPPED if path is None else NAMED.get(str(path), pathlib.Path(path))
    if path.is_dir():
        if not (found := _of_run(path)):
            raise UserError(
                f"There is no {NAME} in {path}: give a weights .npz, or the --workdir of a training run that "
                "has saved its first checkpoint."
            )
        return found[0]
    if not path.is_file():
        raise UserError(f"There are no weights at {path}: give a training run's folder or a weights .npz.")
    return path


def save_weights(path: str | os.PathLike, params: Any, config: ml_collections.ConfigDict) -> None:
    """Writes `params` and `config.model` into one `.npz`.

    Raises:
      UserError: `path` cannot be written.
    """
    with replacing(path, "The weights") as partial, partial.open("wb") as file:
        write_weights(file, params, config)


def write_weights(file: BinaryIO, params: Any, config: ml_collections.ConfigDict) -> None:
    """Like `save_weights`, into an open file: JSON in `config`, each array under its path in the tree."""
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    np.savez_compressed(file, config=np.array(json.dumps(config.model.to_dict())), **flat)


def check_params(
    params: Any,
    template: Any,
    where: str,
    config: ml_collections.ConfigDict | None = None,
    wanted: ml_collections.ConfigDict | None = None,
) -> None:
    """Checks that `params` has the names and shapes of `template`, a model's parameters or their shapes.

    Args:
      where: the file or folder that `params` is from, for the message.
      config, wanted: the config of the model that `params` is from, and that of the model of `template`. Where
        they differ, the message says so.

    Raises:
      UserError: they differ.
    """
    have, want = (
        {key: tuple(value.shape) for key, value in flax.traverse_util.flatten_dict(tree, sep="/").items()}
        for tree in (params, template)
    )
    if have == want:
        return
    if config is not None and wanted is not None and (fields := differing(config, wanted)):
        theirs = ", ".join(f"{key} = {value}" for key, (value, _) in fields.items())
        ours = ", ".join(str(value) for _, value in fields.values())
        flags = " ".join(shlex.quote(f"--config.model.{key}={value}") for key, (value, _) in fields.items())
        raise UserError(f"The model in {where} has {theirs}, and that of the config {ours}: set {flags}.")
    odd = sorted(set(have.items()) ^ set(want.items()))[0][0]
    found, needed = (str(shapes.get(odd, "missing")) for shapes in (have, want))
    raise UserError(
        f"The model in {where} is of another config (the shape of '{odd}' is {found} instead of {needed}): use the "
        "config of its training."
    )


def check_backbone(config: ml_collections.ConfigDict, fingerprint: str, what: str) -> None:
    """Checks that a model was trained on the image features of the ResNet-50 with a fingerprint.

    Args:
      config: of the model. Its `backbone` is "" or missing if its training saw no features.
      fingerprint: of `backbone_weights.fingerprint`; "" if it is not known: then nothing is checked.
      what: the features that it belongs to, for the message.

    Raises:
      UserError: it was another ResNet-50.
    """
    trained = config.get("backbone", "")
    if trained and fingerprint and trained != fingerprint:
        raise UserError(
            f"The model was trained on image features of the ResNet-50 with the fingerprint {trained}, and {what} are "
            f"of {fingerprint}: use the ResNet-50 of its training."
        )


def differing(
    config: ml_collections.ConfigDict, other: ml_collections.ConfigDict
) -> dict[str, tuple[Any, Any]]:
    """The fields of a model's config that have another value in another config: field -> both values."""
    first, second = (json.loads(json.dumps(model.to_dict())) for model in (config, other))
    return {key: (first[key], second[key]) for key in first if key in second and first[key] != second[key]}
