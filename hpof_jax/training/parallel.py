"""Data parallelism: splits a batch over the devices, replicates the state, and wraps the step in pmap."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hpof_jax.errors import UserError

AXIS = "batch"


def pmap_step(step: Callable) -> Callable:
    """`step(state, batch)` on every local device, with a replicated state and a batch cut by `cut`.

    The state's buffers are donated to the step. Build `step` with `axis_name=AXIS`.
    """
    return jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=(0,))


def replicate(tree: Any) -> Any:
    """Places a pytree on all local devices as `pmap_step` needs it.

    With several processes, donation deletes arrays that were placed in another way.
    """
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def cut(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(B, ...) -> (devices, B / devices, ...) for every array of a batch."""
    devices = jax.local_device_count()
    return {key: value.reshape(devices, -1, *value.shape[1:]) for key, value in batch.items()}


def local_batch_size(batch_size: int) -> int:
    """How many clips of the global batch this process loads.

    Raises:
      UserError: the batch size is no multiple of the number of devices.
    """
    if batch_size % jax.device_count():
        raise UserError(
            f"A batch of {batch_size} clips cannot be shared evenly by {jax.device_count()} devices: "
            "set --config.batch_size to a multiple of their number."
        )
    return batch_size // jax.process_count()
