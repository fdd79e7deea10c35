"""The checkpoints of a training run, by Orbax, and its best weights."""

import functools
import io
import json
import os

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from hpof_jax.errors import UserError
from hpof_jax.models import weights
from hpof_jax.training.state import TrainState


class Checkpointer:
    """The checkpoints of one run: the newest few and the best, in `workdir/checkpoints`.

    `workdir/weights.npz` holds the averaged parameters (`TrainState.ema`) of the best checkpoint. Where no
    checkpoint has a metric, it holds those of the newest.
    """

    def __init__(self, workdir: str | os.PathLike, keep: int = 3, metric: str = "pa_mpjpe"):
        """
        Args:
          workdir: the run's folder; also a bucket's, such as `gs://BUCKET/FOLDER`.
          keep: how many of the newest checkpoints are kept, besides the best.
          metric: the name of the metric that decides which is best: the lower, the better.

        Raises:
          UserError: `workdir` cannot be made.
        """
        self._remote = "://" in str(workdir)
        self._workdir = str(workdir) if self._remote else os.path.abspath(workdir)
        if not self._remote:
            try:
                os.makedirs(self._workdir, exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"The folder {workdir} cannot be made ({error.strerror}): give another --workdir."
                ) from error
        goodness = functools.partial(_goodness, metric)
        policy = ocp.checkpoint_managers.AnyPreservationPolicy(
            [
                ocp.checkpoint_managers.LatestN(keep),
                ocp.checkpoint_managers.BestN(get_metric_fn=goodness, n=1),
            ]
        )
        self._metric = metric
        self._manager = ocp.CheckpointManager(
            os.path.join(self._workdir, "checkpoints"),
            item_handlers=_handlers(),
            # Without `best_fn` the metrics are not written, and a resumed run would not know its best.
            options=ocp.CheckpointManagerOptions(preservation_policy=policy, best_fn=goodness, create=True),
        )

    def latest_step(self) -> int | None:
        """The newest finished step, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, config: ml_collections.ConfigDict, metrics: dict[str, float]) -> None:
        """Saves a checkpoint in the background, and the weights if it is the best so far.

        Does nothing if the step is already saved.
        """
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
        if self._manager.best_step() == step and jax.process_index() == 0:
            self._save_weights(host_state.ema, config)

    def restore(self, template: TrainState) -> TrainState:
        """The newest state.

        Args:
          template: a state of the same config.

        Raises:
          UserError: the checkpoint is of another config.
        """
        step = self._manager.latest_step()
        # Checked before restoring, because Orbax then logs a warning for every array.
        saved = self._manager.item_metadata(step)["state"].tree["params"]
        weights.check_params(saved, template.params, str(self._manager.directory))
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
        """Waits, then releases Orbax's threads."""
        self._manager.close()

    def _save_weights(self, params, config) -> None:
        if not self._remote:
            weights.save_weights(os.path.join(self._workdir, weights.NAME), params, config)
            return
        file = io.BytesIO()  # a bucket takes whole files
        weights.write_weights(file, params, config)
        epath.Path(self._workdir, weights.NAME).write_bytes(file.getvalue())


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    return {"state": ocp.StandardCheckpointHandler(), "config": ocp.JsonCheckpointHandler()}


def _goodness(metric: str, metrics: dict[str, float]) -> float:
    return -metrics[metric]
