"""Checkpoints by Orbax, and the weights file that is shipped."""

import functools
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.training.state import TrainState

WEIGHTS = pathlib.Path(__file__).parent.parent / "assets" / "hpof.npz"


class Checkpointer:
    """The checkpoints of one run: the newest few and the best, in `workdir/checkpoints`."""

    def __init__(self, workdir: str | os.PathLike, keep: int = 3, metric: str = "pa_mpjpe"):
        """
        Args:
          keep: how many of the newest are kept; the best by `metric` (least) is kept besides.
        """
        folder = os.path.join(
            os.path.abspath(workdir) if "://" not in str(workdir) else str(workdir), "checkpoints"
        )
        goodness = functools.partial(_goodness, metric)
        policy = ocp.checkpoint_managers.AnyPreservationPolicy(
            [
                ocp.checkpoint_managers.LatestN(keep),
                ocp.checkpoint_managers.BestN(get_metric_fn=goodness, n=1),
            ]
        )
        self._metric = metric
        self._manager = ocp.CheckpointManager(
            folder,
            item_handlers=_handlers(),
            # Without `best_fn` the metrics are not written, and a resumed run would not know its best.
            options=ocp.CheckpointManagerOptions(preservation_policy=policy, best_fn=goodness, create=True),
        )

    def latest_step(self) -> int | None:
        """The newest finished step, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, config: ml_collections.ConfigDict, metrics: dict[str, float]) -> None:
        """Saves in the background; a step that is there already is left alone."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        host_state = jax.tree.map(np.asarray, state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(host_state),
                config=ocp.args.JsonSave(json.loads(config.to_json_best_effort())),
            ),
            metrics={self._metric: float(metrics.get(self._metric, np.inf))},
        )

    def restore(self, template: TrainState) -> TrainState:
        """The newest state.

        Raises:
          UserError: it is another model's.
        """
        step = self._manager.latest_step()
        # Before the restoring, which would leave warnings of every array behind.
        saved = self._manager.item_metadata(step)["state"].tree["params"]
        check_params(saved, template.params, str(self._manager.directory))
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
            )
        except (ValueError, KeyError) as error:
            raise UserError(
                f"The checkpoint at step {step} in {self._manager.directory} is of another config: "
                "use another --workdir, or the config it was made with."
            ) from error
        return restored["state"]

    def wait(self) -> None:
        """Returns when everything is written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()


def save_weights(path: str | os.PathLike, params: Any, config: ml_collections.ConfigDict) -> None:
    """Writes parameters and the config's model part into one `.npz` of float32 arrays named by their path."""
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    with replacing(path, "The weights") as partial, partial.open("wb") as file:
        np.savez_compressed(file, config=np.array(json.dumps(config.model.to_dict())), **flat)


def load_weights(path: str | os.PathLike | None = None) -> tuple[Any, ml_collections.ConfigDict]:
    """Parameters and the model's config.

    Args:
      path: a weights `.npz`, a training run's folder (its best checkpoint), or None for the weights that come with
        the package.

    Raises:
      UserError: nothing there, or not one of the two.
    """
    path = pathlib.Path(WEIGHTS if path is None else path)
    if path.is_dir():
        return _load_run(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint at {path}: give a training run's folder or a weights .npz.")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        config = ml_collections.ConfigDict(json.loads(str(arrays.pop("config"))))
    except (ValueError, TypeError, OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} is not a weights file of this package: give a training run's folder or a weights .npz."
        ) from error
    return flax.traverse_util.unflatten_dict(arrays, sep="/"), config


def average_weights(sources: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Writes the mean of several weights, of runs that went on from the same ones (Wortsman et al., ICML 2022).

    Args:
      sources: what `load_weights` takes.

    Raises:
      UserError: there is none, or one that cannot be read or is of another model than the first.
    """
    if not sources:
        raise UserError("There are no weights to take the mean of: name some.")
    trees, configs = zip(*map(load_weights, sources))
    config = configs[0]
    for source, tree, other in zip(sources, trees, configs, strict=True):
        check_params(tree, trees[0], str(source))
        if other != config:
            raise UserError(f"The weights {source} are of another model than {sources[0]}: leave them out.")
    mean = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0, dtype=np.float64).astype(np.float32), *trees)
    save_weights(path, mean, ml_collections.ConfigDict({"model": config}))


def check_params(params: Any, template: Any, where: str) -> None:
    """Raises UserError if the parameters are not those of the model that `template` (shapes) belongs to."""
    have, want = (
        {key: tuple(value.shape) for key, value in flax.traverse_util.flatten_dict(tree, sep="/").items()}
        for tree in (params, template)
    )
    if have != want:
        odd = sorted(set(have.items()) ^ set(want.items()))[0][0]
        raise UserError(
            f"The checkpoint in {where} is of another config ('{odd}' differs): use the config it was made with."
        )


def _load_run(folder: pathlib.Path) -> tuple[Any, ml_collections.ConfigDict]:
    root = folder if folder.name == "checkpoints" else folder / "checkpoints"
    if not root.is_dir():
        raise UserError(f"There is no checkpoint in {folder}: give the --workdir of a training run.")
    manager = ocp.CheckpointManager(
        root.absolute(),
        item_handlers=_handlers(),
        options=ocp.CheckpointManagerOptions(best_fn=functools.partial(_goodness, "pa_mpjpe"), create=False),
    )
    step = manager.best_step() if manager.best_step() is not None else manager.latest_step()
    if step is None:
        raise UserError(f"There is no finished checkpoint in {folder}: train longer, or give another folder.")
    restored = manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore(), config=ocp.args.JsonRestore())
    )
    return restored["state"]["ema"], ml_collections.ConfigDict(restored["config"]["model"])


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    return {"state": ocp.StandardCheckpointHandler(), "config": ocp.JsonCheckpointHandler()}


def _goodness(metric: str, metrics: dict[str, float]) -> float:
    return -metrics[metric]
