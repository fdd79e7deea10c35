"""Speed of the SMPL layer against smplx (torch, CPU) and body-models (JAX), on the same bodies.

    pip install torch==2.13.0 smplx==0.1.28 body-models==0.26.2
    python -m benchmarks.smpl_layer --json smpl_layer.json

The body is the free body with random pose blend shapes, so that it has everything that an SMPL file has. The
layers take turns, and their results are compared first.

- "backward": the gradient of the sum of the squared vertices by shape and pose.
- "keypoints": 24 joints and 33 landmarks, against smplx's full mesh, from which its users take them.
- "blend only": the product with the blend basis (18 MB), which no layer in single precision can do without.
  Only the rest of a layer's time can be saved.
"""

import argparse
import importlib.util
import os
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.bodies import body_with_pose_blend_shapes
from benchmarks.program import program
from benchmarks.timing import ratio, temporary_mib
from hpof_jax import body
from hpof_jax.body.model import BodyModel, keypoints
from hpof_jax.cli import positive_int
from hpof_jax.errors import UserError
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.timing import interleaved

BATCHES = (1, 16, 64, 256)
PEERS = ("torch", "smplx", "body_models")


def forward(model: BodyModel, betas: jax.Array, pose: jax.Array) -> jax.Array:
    return body.forward(model, betas, pose[:, 0], pose[:, 1:])[0]


def backward(model: BodyModel, betas: jax.Array, pose: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.grad(lambda b, p: jnp.sum(forward(model, b, p) ** 2), (0, 1))(betas, pose)


def keypoints_only(model: BodyModel, betas: jax.Array, pose: jax.Array) -> tuple[jax.Array, jax.Array]:
    return keypoints(model, model.landmarks, betas, axis_angle_to_matrix(pose))


OURS = {"forward": forward, "backward": backward, "keypoints": keypoints_only}


def smplx(model: BodyModel, betas: np.ndarray, pose: np.ndarray) -> dict[str, Callable]:
    """smplx's function `lbs`, without the overhead of its class SMPL."""
    import torch
    from smplx.lbs import lbs

    torch.set_num_threads(os.cpu_count())

    def tensor(array):
        return torch.from_numpy(np.array(array, order="C"))

    constants = dict(
        v_template=tensor(model.v_template)[None],
        shapedirs=tensor(model.shapedirs),
        posedirs=tensor(np.asarray(model.posedirs).reshape(-1, 207).T),
        J_regressor=tensor(model.J_regressor),
        parents=torch.tensor(model.parents),
        lbs_weights=tensor(model.lbs_weights),
    )
    betas, pose = tensor(betas).requires_grad_(), tensor(pose.reshape(len(pose), 72)).requires_grad_()

    def forward():
        with torch.no_grad():
            return lbs(betas, pose, **constants)[0].numpy()

    def backward():
        betas.grad = pose.grad = None
        (lbs(betas, pose, **constants)[0] ** 2).sum().backward()
        return betas.grad.numpy(), pose.grad.numpy().reshape(-1, 24, 3)

    return {"forward": forward, "backward": backward, "keypoints": forward}


def body_models(path: pathlib.Path, betas: np.ndarray, pose: np.ndarray) -> dict[str, Callable]:
    """body-models' SMPL of the body in a file."""
    from body_models.smpl.jax import SMPL as BodyModelsSMPL

    layer = BodyModelsSMPL(model_path=path)
    betas, pose = jnp.asarray(betas), jnp.asarray(pose)

    def vertices(betas, pose):
        return layer.forward_vertices(pose[:, 1:], pelvis_rotation=pose[:, 0], shape=betas)

    forward = jax.jit(vertices)
    backward = jax.jit(jax.grad(lambda b, p: jnp.sum(vertices(b, p) ** 2), (0, 1)))
    return {"forward": lambda: forward(betas, pose), "backward": lambda: backward(betas, pose)}


def measure(rounds: int) -> dict:
    if missing := [name for name in PEERS if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"This benchmark needs {', '.join(missing)}: "
            "pip install torch==2.13.0 smplx==0.1.28 body-models==0.26.2."
        )
    model = body_with_pose_blend_shapes()
    result = {"device": jax.devices()[0].device_kind, "threads": os.cpu_count(), "cells": []}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "body.npz"
        body.save_body(model, path)
        for batch in BATCHES:
            rng = np.random.default_rng(batch)
            betas = rng.normal(size=(batch, 10)).astype(np.float32)
            pose = rng.normal(scale=0.3, size=(batch, 24, 3)).astype(np.float32)
            peers = {"smplx": smplx(model, betas, pose), "body-models": body_models(path, betas, pose)}
            for task, function in OURS.items():
                arguments = (model, jnp.asarray(betas), jnp.asarray(pose))
                compiled = jax.jit(function)
                ways = {"ours": lambda compiled=compiled, arguments=arguments: compiled(*arguments)}
                ways |= {name: tasks[task] for name, tasks in peers.items() if task in tasks}
                if task != "keypoints":
                    check_agreement(ways["ours"](), {name: way() for name, way in ways.items()})
                if task == "forward":
                    factors = jnp.asarray(rng.normal(size=(batch, len(model.basis))).astype(np.float32))
                    product = jax.jit(jnp.matmul)
                    ways["blend only"] = lambda factors=factors, product=product: product(
                        factors, model.basis
                    )
                times = interleaved(ways, rounds, seconds=0.2)
                cell = {"task": task, "batch": batch, "MiB": temporary_mib(function, *arguments)}
                cell["milliseconds"] = {
                    name: 1e3 * statistics.median(time["wall"]) for name, time in times.items()
                }
                cell["faster_than"] = {name: ratio(times, name, "ours") for name in times if name != "ours"}
                result["cells"].append(cell)
                show(cell)
    return result


def check_agreement(own: object, others: Mapping[str, object]) -> None:
    """Compares our arrays with those of each other layer.

    Raises:
      UserError: a relative difference of 1e-4 or more.
    """
    for name, other in others.items():
        for mine, theirs in zip(jax.tree.leaves(own), jax.tree.leaves(other), strict=True):
            error = np.abs(np.asarray(mine) - np.asarray(theirs)).max() / np.abs(np.asarray(theirs)).max()
            if not error < 1e-4:
                raise UserError(
                    f"{name} has other results (relative difference {error:.1e}): "
                    "install the version that this module's docstring names."
                )


def show(cell: dict) -> None:
    times = "".join(f"{name}{time:9.2f} ms   " for name, time in cell["milliseconds"].items())
    ratios = ", ".join(f"{ratio:.1f} x {name}" for name, ratio in cell["faster_than"].items())
    print(f"{cell['task']:10}{cell['batch']:4}   {times}{ratios};{cell['MiB']:6.1f} MiB", flush=True)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=positive_int, default=9)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    return measure(options.rounds)


if __name__ == "__main__":
    main()
