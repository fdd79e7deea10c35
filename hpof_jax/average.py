"""Averages the parameters of two trained models.

    python -m hpof_jax.average runs/before runs/after --out mean.npz

A training that goes on with other data forgets some of what it knew. The mean of its start and its end keeps both
(Wortsman et al., CVPR 2022). The two models must have the same config, and one be trained from the other; the mean of
models that were trained apart is worth nothing.
"""

import argparse
import os

import jax
from ml_collections import ConfigDict

from hpof_jax import cli
from hpof_jax.errors import UserError
from hpof_jax.models.weights import check_params, differing, load_weights, save_weights


def average(first: str | os.PathLike, second: str | os.PathLike, path: str | os.PathLike) -> None:
    """Writes the mean of two models' parameters.

    Args:
      first, second: paths that `models.weights.load_weights` takes.
      path: the weights `.npz` to write.

    Raises:
      UserError: a file cannot be read or written, or the models are of different configs.
    """
    (params, config), (others, other_config) = load_weights(first), load_weights(second)
    # An older file lacks newer fields; whether they matter, the parameters tell.
    if fields := ", ".join(differing(config, other_config)):
        raise UserError(
            f"The models in {first} and {second} have different configs ({fields}): average a model with its start."
        )
    check_params(others, params, str(second))
    mean = jax.tree.map(lambda a, b: ((a + b) / 2).astype(a.dtype), params, others)
    save_weights(path, mean, ConfigDict({"model": other_config}))


@cli.entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        "hpof_jax.average", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs=2, help="a weights .npz, a training run's folder, nc or free")
    parser.add_argument("--out", required=True, help="the weights .npz to write")
    options = parser.parse_args()
    average(*options.weights, options.out)


if __name__ == "__main__":
    main()
