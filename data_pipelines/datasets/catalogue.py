"""The data sets that can be prepared."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hpof_jax.errors import UserError

if TYPE_CHECKING:  # JAX, which takes seconds
    from data_pipelines.datasets.base import DataSet

MODULES = {  # name -> module of this package
    "3dpw": "threedpw",
    "amass": "amass",
    "emdb": "emdb",
    "human36m": "human36m",
    "instavariety": "instavariety",
    "mpi_inf_3dhp": "mpi_inf_3dhp",
    "penn_action": "penn_action",
    "posetrack": "posetrack",
    "rich": "rich",
}


def load_dataset(name: str) -> DataSet:
    """The data set of a name of `MODULES`. Raises UserError if there is none."""
    if name not in MODULES:
        raise UserError(f"There is no data set '{name}': choose one of {', '.join(MODULES)}.")
    return importlib.import_module(f"data_pipelines.datasets.{MODULES[name]}").DATASET
