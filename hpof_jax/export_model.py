"""Writes the temporal model for other programs: StableHLO for JAX and XLA, ONNX for everything else.

    python -m hpof_jax.export_model --out exported
    python -m hpof_jax.export_model --weights runs/hpof --to onnx

Writes `DIR/model.stablehlo` and `DIR/model.onnx`. Batch and time are symbolic: a file serves every size. The body and the
parameters are constants in it. ONNX needs the extra `onnx`. A model that also takes image features is exported for
landmarks alone.
"""

import argparse
import contextlib
import io
import logging as std_logging
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from hpof_jax import cli
from hpof_jax.atomic import replacing
from hpof_jax.body import BodyModel, load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import model_for
from hpof_jax.models.inputs import LANDMARKS, NUM_FEATURES, Inputs, make_inputs
from hpof_jax.models.weights import load_weights

FORMATS = {"stablehlo": "model.stablehlo", "onnx": "model.onnx"}
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # for which StableHLO is written


def stablehlo(
    weights: str | os.PathLike | tuple[Any, Any] | None = None, body: BodyModel | None = None
) -> bytes:
    """The model with its preprocessing, for `jax.export.deserialize`.

    The exported function takes, for B clips of T frames,
      landmarks_2d: (B, T, 33, 3) float32, [x px, y px, visibility],
      landmarks_3d: (B, T, 33, 3) float32, metres about the middle of the hips, camera axes,
      seen: (B, T) bool, the frames in which the person was found,
      image_size: (B, 2) float32, [height, width] px,
      focal_length: (B,) float32, px,
    and returns
      betas: (B, 10),
      rotations: (B, T, 24, 3, 3), relative to the parents, the root's in the camera frame,
      cam: (B, T, 3), [s, tx, ty], weak perspective in the box,
      box: (B, T, 3), [centre x, centre y, size] px.

    Args:
      weights: a path that `models.weights.load_weights` takes, or its result. None: the weights of this package.
      body: None: the free body.

    Raises:
      UserError: the weights cannot be read, or are not those of the model that they name.
    """
    predict = _model(weights, body)

    def function(landmarks_2d, landmarks_3d, seen, image_size, focal_length):
        everywhere = jnp.ones_like(seen)
        inputs = make_inputs(landmarks_2d, landmarks_3d, seen, everywhere, image_size, focal_length)
        prediction = predict(inputs)
        return prediction.clip_betas(inputs.mask), prediction.rotations, prediction.cam, inputs.box

    clips, frames = jax.export.symbolic_shape("clips, frames", constraints=["clips >= 1", "frames >= 1"])
    landmarks = jax.ShapeDtypeStruct((clips, frames, LANDMARKS, 3), jnp.float32)
    arguments = (
        landmarks,
        landmarks,
        jax.ShapeDtypeStruct((clips, frames), jnp.bool_),
        jax.ShapeDtypeStruct((clips, 2), jnp.float32),
        jax.ShapeDtypeStruct((clips,), jnp.float32),
    )
    return jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments).serialize()


def onnx(weights: str | os.PathLike | tuple[Any, Any] | None = None, body: BodyModel | None = None) -> bytes:
    """The model without its preprocessing, as an ONNX file.

    Its inputs are `features` (B, T, 203) float32, made by `hpof_jax.models.inputs.make_inputs`, and `seen` (B, T) bool. Its
    outputs are `betas`, `rotations` and `cam`, as those of `stablehlo`.

    Raises:
      UserError: as `stablehlo`; or jax2onnx is not installed.
    """
    try:
        with _quiet():
            import jax2onnx
    except ImportError as error:
        raise UserError(
            "ONNX needs jax2onnx: pip install 'hpof_jax[onnx]', or use --to stablehlo."
        ) from error
    predict = _model(weights, body)

    def function(features, seen):
        prediction = predict(Inputs(features, features[..., :3], jnp.ones_like(seen), seen))
        return prediction.clip_betas(seen), prediction.rotations, prediction.cam

    clips, frames = jax.export.symbolic_shape("clips, frames")
    arguments = [
        jax.ShapeDtypeStruct((clips, frames, NUM_FEATURES), jnp.float32),
        jax.ShapeDtypeStruct((clips, frames), jnp.bool_),
    ]
    names = {"input_names": ["features", "seen"], "output_names": ["betas", "rotations", "cam"]}
    with _quiet():
        model = jax2onnx.to_onnx(function, inputs=arguments, model_name="hpof", **names)
    _drop_inner_shapes(model.graph)
    return model.SerializeToString()


def _drop_inner_shapes(graph) -> None:
    """Removes the shapes of intermediate values, loops included: jax2onnx states wrong ones inside loops."""
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _drop_inner_shapes(attribute.g)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what jax2onnx prints, and its hundreds of warnings about models of other kinds."""
    std_logging.disable(std_logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        std_logging.disable(std_logging.NOTSET)


def _model(weights, body) -> Callable:
    """Inputs -> Prediction."""
    params, config = weights if isinstance(weights, tuple) else load_weights(weights)
    body = load_body() if body is None else body
    model = model_for(params, config, body)
    if not model.takes_landmarks:
        raise UserError(
            "These weights take image features alone, which an exported model does not: give weights that take landmarks."
        )
    if model.fitting_head is not None:  # its blocks would need to know the number of frames
        model = model.clone(fitting_head=model.fitting_head.clone(block=0))
    return lambda inputs: model.apply({"params": params}, inputs, body)


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.export_model", description="Writes the temporal model for other programs."
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, default=pathlib.Path("exported"), help="folder (default: exported)")
    add(
        "--to", default="stablehlo", help=f"{' or '.join(FORMATS)}, or both with a comma (default: stablehlo)"
    )
    add("--weights", help="nc (default) or free, of this package; a weights .npz; or a training run's folder")
    add("--body", help="a body file in SMPL's format (default: the free body)")
    options = parser.parse_args()
    formats = options.to.split(",")
    if unknown := sorted(set(formats) - FORMATS.keys()):
        raise UserError(f"There is no format '{unknown[0]}': choose of {', '.join(FORMATS)}.")
    weights, body = load_weights(options.weights), load_body(options.body)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {options.out} cannot be made ({error.strerror}): give another --out."
        ) from error
    for name in formats:
        data = {"stablehlo": stablehlo, "onnx": onnx}[name](weights, body)
        path = options.out / FORMATS[name]
        with replacing(path, "The model") as partial:
            partial.write_bytes(data)
        logging.info("wrote %s, %.1f MB", path, len(data) / 1e6)


if __name__ == "__main__":
    main()
