"""The device that makes training data."""

import jax

from hpof_jax.errors import UserError


def cpu() -> jax.Device:
    """A CPU device of this process, also if an accelerator trains.

    Do not use `jax.devices("cpu")[0]`: with several processes, that device belongs to process 0.

    Raises:
      UserError: JAX was started without its CPU backend.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise UserError(
            f"JAX has no CPU backend ({error}): add cpu to JAX_PLATFORMS, as in 'tpu,cpu'."
        ) from error
