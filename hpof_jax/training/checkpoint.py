"""The checkpoints of a training run, by Orbax, and its best weights."""

import contextlib
import functools
import io
import json
import os
import shutil
from collections.abc import Iterator

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.models import weights
from hpof_jax.training import checksums, processes
from hpof_jax.training.state import TrainState

FOLDER, DAMAGED = weights.CHECKPOINTS, "damaged"  # in the run's folder


class Checkpointer:
    """The checkpoints of one run: the newest few and the best, in `workdir/checkpoints`.

    `workdir/weights.npz` holds the averaged parameters (`TrainState.ema`) of the best checkpoint. Where no
    checkpoint has a metric, it holds those of the newest. Each checkpoint also has its own `weights.npz`, and
    checksums of its files. Damaged checkpoints are moved to `workdir/damaged`.
    """

    def __init__(self, workdir: str | os.PathLike, keep: int = 3, metric: str = "pa_mpjpe"):
        """
        Args:
          workdir: the run's folder; also a bucket's, such as `gs://BUCKET/FOLDER`.
          keep: how many of the newest checkpoints are kept, besides the best.
          metric: the name of the metric that decides which is best: the lower, the better.

        Raises:
          UserError: the folder cannot be written, or all checkpoints in it are damaged.
        """
        self._remote = "://" in str(workdir)
        self._workdir = str(workdir) if self._remote else os.path.abspath(workdir)
        folder = epath.Path(self._workdir, FOLDER)
        if jax.process_index() == 0:
            self._check_folder(folder)
            self._set_damaged_aside(folder)
        processes.wait_for_all("checkpoints checked")
        goodness = functools.partial(_goodness, metric)
        policy = ocp.checkpoint_managers.AnyPreservationPolicy(
            [
                ocp.checkpoint_managers.LatestN(keep),
                ocp.checkpoint_managers.BestN(get_metric_fn=goodness, n=1),
            ]
        )
        self._metric = metric
        self._saving: tuple | None = None  # step, weights and config of the checkpoint that is being written
        self._manager = ocp.CheckpointManager(
            folder,
            item_handlers=_handlers(),
            # Without `best_fn` the metrics are not written, and a resumed run would not know its best.
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=goodness,
                create=True,
                # Called when all files are written and before the checkpoint gets its name.
                async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
            ),
        )
        if jax.process_index() == 0:
            self._mend_weights()

    def latest_step(self) -> int | None:
        """The newest finished step, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, config: ml_collections.ConfigDict, metrics: dict[str, float]) -> None:
        """Saves a checkpoint in the background, and the weights if it is the best so far.

        Does nothing if the step is already saved.

        Raises:
          UserError: the state is not finite, or the disk is full or cannot be written. Then no checkpoint is
            lost.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        host_state = jax.tree.map(np.asarray, state)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(host_state)):
            raise UserError(
                f"The state at step {step} is not finite and is not saved: lower "
                f"--config.optimizer.learning_rate; the checkpoints in {self._workdir} are from earlier steps."
            )
        self.wait()  # for the one before: its weights and config are kept until it is written
        with self._writing(step):
            self._check_writable(host_state)
            self._saving = step, host_state.ema, config
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(host_state), config=ocp.args.JsonSave(_plain(config))
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
          UserError: the checkpoint is of another config or version; the message names a field that differs.
        """
        step = self._manager.latest_step()
        if not (epath.Path(self._manager.directory) / str(step) / checksums.NAME).exists():
            logging.warning("The checkpoint at step %d has no checksums: it is used unchecked.", step)
        # Checked before restoring, because Orbax then logs a warning for every array.
        saved = _shapes(self._manager.item_metadata(step)["state"].tree)
        wanted = _shapes(template)
        if saved != wanted:
            field = sorted(saved.items() ^ wanted.items(), key=lambda pair: (_order(pair[0]), pair[0]))[0][0]
            there, here = (shapes.get(field, "absent") for shapes in (saved, wanted))
            raise UserError(
                f"The checkpoint at step {step} in {self._manager.directory} is of another config or version "
                f"({field}: {there} there, {here} here): use another --workdir, or the config and version it "
                "was made with."
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
            )
        except (ValueError, KeyError, OSError) as error:
            raise UserError(
                f"The checkpoint at step {step} in {self._manager.directory} cannot be read: delete its folder "
                "to use the one before."
            ) from error
        return restored["state"]

    def changes(self, config: ml_collections.ConfigDict) -> dict[str, tuple]:
        """What differs from the config of the newest checkpoint: key -> (value there, value in `config`)."""
        args = ocp.args.Composite(config=ocp.args.JsonRestore())
        saved = self._manager.restore(self._manager.latest_step(), args=args)["config"]
        there, here = _flat(saved), flat_config(config)
        return {
            key: (there.get(key), here.get(key))
            for key in sorted(there | here)
            if there.get(key) != here.get(key)
        }

    def wait(self) -> None:
        """Returns when everything is written. Raises UserError as `save` does."""
        with self._writing(self._saving and self._saving[0]):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then releases Orbax's threads. Raises UserError as `save` does."""
        with self._writing(self._saving and self._saving[0]):
            self._manager.close()

    def _seal(self) -> None:
        """Adds weights and checksums to the files of the checkpoint that is being written."""
        if jax.process_index():
            return
        step, params, config = self._saving
        (folder,) = (
            path
            for path in epath.Path(self._manager.directory).iterdir()
            if path.name.partition(".")[0] == str(step)
        )
        file = io.BytesIO()
        weights.write_weights(file, params, config)
        (folder / weights.NAME).write_bytes(file.getvalue())
        checksums.write(folder)

    def _save_weights(self, params, config) -> None:
        file = io.BytesIO()
        weights.write_weights(file, params, config)
        self._write_weights(file.getvalue())

    def _write_weights(self, content: bytes) -> None:
        path = epath.Path(self._workdir, weights.NAME)
        if self._remote:
            path.write_bytes(content)  # a bucket takes whole files
            return
        with replacing(path, "The weights") as partial:
            partial.write_bytes(content)

    def _mend_weights(self) -> None:
        """Writes the best checkpoint's weights again if they are not those in the run's folder."""
        if (best := self._manager.best_step()) is None:
            return
        kept = epath.Path(self._manager.directory, str(best), weights.NAME)
        path = epath.Path(self._workdir, weights.NAME)
        if kept.exists() and not (path.is_file() and path.read_bytes() == kept.read_bytes()):
            logging.warning("%s is damaged or old: it is written again from step %d.", path, best)
            self._write_weights(kept.read_bytes())

    def _check_folder(self, folder: epath.Path) -> None:
        if self._remote:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _probe(folder)
        except OSError as error:
            raise UserError(
                f"The run cannot be written to {self._workdir} ({error.strerror or error}): give --workdir a "
                "folder that can be written and has room."
            ) from error

    def _set_damaged_aside(self, folder: epath.Path) -> None:
        if not folder.exists():
            return
        steps = sorted((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), reverse=True)
        aside, whole = epath.Path(self._workdir, DAMAGED), 0
        for step in steps:
            damage = checksums.find_damage(folder / str(step))
            if damage is None:
                whole += 1
                continue
            target = aside / str(step)
            if target.exists():
                target.rmtree()
            aside.mkdir(exist_ok=True)
            (folder / str(step)).rename(target)
            logging.warning("The checkpoint at step %d is damaged (%s): moved to %s.", step, damage, target)
        if steps and not whole:
            raise UserError(
                f"All checkpoints in {folder} are damaged and were moved to {aside}: start the same command "
                "again to train from the first step."
            )

    def _check_writable(self, state: TrainState) -> None:
        """Raises OSError if the disk has no room or is read-only: Orbax would print tracebacks from its threads."""
        if self._remote:
            return
        _probe(epath.Path(self._manager.directory))
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if (free := shutil.disk_usage(self._workdir).free) < 1.2 * needed + 100_000:
            raise OSError(f"{free / 1e6:.1f} MB are free and {1.2 * needed / 1e6:.1f} needed")

    @contextlib.contextmanager
    def _writing(self, step: int | None) -> Iterator[None]:
        """Turns errors of writing into a sentence. TensorStore's are ValueErrors."""
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, UserError) or not (isinstance(error, OSError) or "os_error" in str(error)):
                raise
            reason = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
            raise UserError(
                f"The checkpoint at step {step} cannot be written to {self._workdir} ({reason}): make room, or "
                "give a folder that can be written; the same command resumes from the last checkpoint."
            ) from error


def flat_config(config: ml_collections.ConfigDict) -> dict:
    """A config as JSON can hold it: "optimizer.learning_rate" -> value."""
    return _flat(_plain(config))


def _probe(folder: epath.Path) -> None:
    """Raises OSError if no file can be written to a folder."""
    (probe := folder / f".probe.{os.getpid()}").write_bytes(b"0")
    probe.unlink()


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    return {"state": ocp.StandardCheckpointHandler(), "config": ocp.JsonCheckpointHandler()}


def _goodness(metric: str, metrics: dict[str, float]) -> float:
    return -metrics[metric]


def _shapes(tree) -> dict[str, tuple[int, ...]]:
    """Path -> shape of every array of a state, or of what Orbax knows of a saved one."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): tuple(leaf.shape) for p, leaf in leaves}


def _order(field: str) -> int:
    """The parameters come first: the other parts of a state follow from them."""
    part = field.partition("/")[0]
    return ["params", "discriminator", "ema", "opt_state", part].index(part)


def _plain(config: ml_collections.ConfigDict) -> dict:
    return json.loads(config.to_json_best_effort())


def _flat(tree: dict, above: str = "") -> dict:
    found = {}
    for key, value in tree.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found
