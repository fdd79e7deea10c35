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
    return jax.device_put(tree, NamedSharding(_local_mesh(), PartitionSpec()))


def cut(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(B, ...) -> (devices, B / devices, ...) for every array of a batch."""
    devices = jax.local_device_count()
    return {key: value.reshape(devices, -1, *value.shape[1:]) for key, value in batch.items()}


def place(batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Starts to copy a batch that `cut` made to the devices, and does not wait."""
    return jax.device_put(batch, NamedSharding(_local_mesh(), PartitionSpec(AXIS)))


def _local_mesh() -> Mesh:
    return Mesh(np.array(jax.local_devices()), (AXIS,))


def local_shards(batch_size: int, shards: int) -> int:
    """How many shards of the global batch this process loads.

    Args:
      shards: of the global batch; 0 stands for one for each process.

    Raises:
      UserError: shards of which not all processes can have the same number, or not all the same clips.
    """
    shards = shards or jax.process_count()
    if shards < 0 or shards % jax.process_count() or batch_size % shards:
        raise UserError(
            f"A batch of {batch_size} clips in {shards} shards cannot be shared evenly by "
            f"{jax.process_count()} processes: set --config.data.shards to a multiple of the number of "
            "processes that divides --config.batch_size."
        )
    return shards // jax.process_count()


def local_batch_size(batch_size: int, parts: int = 1) -> int:
    """How many clips of the global batch this process loads.

    Args:
      parts: into which each device cuts its clips, to accumulate their gradients.

    Raises:
      UserError: the batch size is no multiple of the number of devices, or a device's clips none of `parts`.
    """
    if batch_size % jax.device_count() or batch_size < jax.device_count():
        raise UserError(
            f"A batch of {batch_size} clips cannot be shared evenly by {jax.device_count()} devices: "
            "set --config.batch_size to a multiple of their number."
        )
    if (clips := batch_size // jax.device_count()) % parts:
        raise UserError(
            f"The {clips} clips of a device cannot be cut into {parts} even parts: set --config.accumulate to a "
            "divisor of their number."
        )
    return batch_size // jax.process_count()
