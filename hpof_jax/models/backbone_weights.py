"""Weights of a ResNet-50 from torch's files: torchvision's, timm's `resnet50`, SPIN's and others that contain one.

    variables = load_backbone("resnet50.safetensors")

torch is not needed, and nothing in a file is executed (`hpof_jax.pickles`).
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.archives import DAMAGE, reason
from hpof_jax.errors import UserError
from hpof_jax.models.backbone import ResNet50
from hpof_jax.pickles import Purpose, read_pickled, to_array

PURPOSE = Purpose(
    what="a file of network weights",
    kind="file of network weights",
    again="download it again, or ",
    cure="convert it to .safetensors",
)
# The parameters' names in torch, by those in Flax.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_MARK = "layer4.2.conv3.weight"  # what comes before it is the prefix of all names, such as "module."
_UNUSED = ("fc.", "num_batches_tracked")  # the classifier, and counters
_DEEPEST = 3  # dictionaries in dictionaries


def load_backbone(path: str | os.PathLike) -> dict[str, Any]:
    """The variables of `ResNet50`, from a `.safetensors` file or a `.pt`, `.pth` or `.tar` checkpoint of torch.

    The parameters may lie in a dictionary in the checkpoint, such as SPIN's `model`, and under a prefix, such as
    `module.`. Other parameters, such as those of SPIN's regressor, are ignored.

    Raises:
      UserError: there is no such file, it cannot be read, or it holds no ResNet-50 with finite parameters.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f"There are no weights of a ResNet-50 at {path}: give torchvision's, timm's or SPIN's file, "
            "or go on without image features, on landmarks alone."
        )
    try:
        return convert(_read(path))
    except UserError:
        raise
    except (*DAMAGE, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} holds no ResNet-50 ({reason(error)}): give torchvision's, timm's `resnet50` or SPIN's weights."
        ) from error


def fingerprint(variables: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that tell whether two files hold the same ResNet-50, whatever their layout."""
    digest = hashlib.sha256()
    for name, array in sorted(flax.traverse_util.flatten_dict(variables, sep="/").items()):
        digest.update(name.encode() + np.asarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]


def convert(state: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of `ResNet50`, from a state dictionary of torch.

    Args:
      state: name -> array, or what `pickles.to_array` turns into one; or a dictionary that holds one.

    Raises:
      ValueError: it holds no ResNet-50, or one whose parameters are missing, of another shape or not finite.
    """
    state, prefix = _find(state)
    template = flax.traverse_util.flatten_dict(_template())
    found = {
        path: _parameter(state, prefix, path, expected.shape) for path, expected in sorted(template.items())
    }
    known = {prefix + torch_name(path) for path in template}
    # A deeper or another ResNet has all these parameters, too.
    parts = tuple(prefix + part for part in ("conv1", "bn1", "layer"))
    if more := sorted(name for name in state if name.startswith(parts) and name not in known):
        if others := [name for name in more if not name.endswith(_UNUSED)]:
            raise ValueError(f"it is another network, with '{others[0]}'")
    return flax.traverse_util.unflatten_dict(found)


def torch_name(path: tuple[str, ...]) -> str:
    """('params', 'layer1_0', 'conv1', 'kernel') -> 'layer1.0.conv1.weight'."""
    return ".".join([*(name.replace("_", ".") for name in path[1:-1]), _LEAVES[path[-1]]])


def _template() -> dict[str, Any]:
    picture = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    return jax.eval_shape(ResNet50().init, jax.random.key(0), picture)


def _read(path: pathlib.Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # a header in JSON after its length
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(path)
        except (SafetensorError, KeyError) as error:
            raise ValueError(str(error)) from error
    return read_pickled(path, PURPOSE)


def _find(state: Any, deep: int = 0) -> tuple[Mapping[str, Any], str]:
    """The dictionary with the parameters, and the prefix of their names."""
    if not isinstance(state, Mapping):
        raise ValueError("it is no dictionary of parameters")
    names = [name for name in state if isinstance(name, str)]
    if marks := [name for name in names if name.endswith(_MARK)]:
        return {name: state[name] for name in names}, min(marks, key=len).removesuffix(_MARK)
    for name in names if deep < _DEEPEST else ():
        if isinstance(state[name], Mapping):
            try:
                return _find(state[name], deep + 1)
            except ValueError:
                continue
    raise ValueError(f"it has no '{_MARK}'")


def _parameter(
    state: Mapping[str, Any], prefix: str, path: tuple[str, ...], shape: tuple[int, ...]
) -> np.ndarray:
    name = prefix + torch_name(path)
    if name not in state:
        raise ValueError(f"it has no '{name}'")
    array = state[name] if isinstance(state[name], np.ndarray) else to_array(state[name])
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)  # (out, in, H, W) -> (H, W, in, out)
    if array.shape != shape:
        raise ValueError(f"'{name}' is {_in_torch(array.shape)} instead of {_in_torch(shape)}")
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"'{name}' does not hold finite numbers")
    return np.ascontiguousarray(array, np.float32)


def _in_torch(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape
