"""Trains a model.

    python -m hpof_jax.train --config configs/hpof.py [--workdir DIR] [--config.KEY=VALUE ...]

SIGTERM and Ctrl-C save a checkpoint and stop; the same command resumes the run. Order of a start: config,
devices, model, state (random, `config.initial_weights` or the newest checkpoint), data from its step on.
"""

import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

import jax
import numpy as np
import tqdm
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from hpof_jax import cli, config_files
from hpof_jax.body import keypoint_basis, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.errors import UserError
from hpof_jax.models import weights
from hpof_jax.models.build import make_model
from hpof_jax.training import (
    checkpoint,
    evaluation,
    input_wait,
    parallel,
    preemption,
    processes,
    schedule,
    skips,
    state,
    steps,
)
from hpof_jax.training.terms import LOSSES, OUTLINE_LOSSES

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, such as configs/hpof.py.")
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/hpof", "Where checkpoints and logs go; a run found there is resumed."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One process of several. Slurm, GKE and Cloud TPUs need no other flag."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "With --distributed: HOST:PORT of process 0.")
_NUM_PROCESSES = flags.DEFINE_integer("num-processes", None, "With --distributed: how many processes.")
_PROCESS_ID = flags.DEFINE_integer("process-id", None, "With --distributed: of this process, from 0 on.")


def train(config: ConfigDict, workdir: str | os.PathLike) -> Mapping[str, float]:
    """Trains until `config.num_steps` and returns the metrics of the last evaluation.

    There are none if no source has validation clips with ground truth, or `config.eval_every` is 0.

    Args:
      workdir: where checkpoints, logs and `weights.npz` are written; a run that is found there is resumed.

    Raises:
      UserError: a config that does not fit the devices, the data or the checkpoint in `workdir`; ten steps in
        a row whose loss or gradient is not finite.
    """
    from data_pipelines import stream, validation, workers  # here, because it imports TensorFlow
    from data_pipelines.feed import as_dataset
    from data_pipelines.simulate.detector import DetectorNoise
    from data_pipelines.sources import open_source, open_sources

    phases = _check(config)
    stream.check_flow(config.data.flow)  # else the first phase with flow would raise
    sources = data_sources(config.data)
    opened = open_sources(sources, "train")
    if "landmarks" not in config.model.get("inputs", ("landmarks",)):
        _check_features(spec for spec in sources if not getattr(open_source(spec, "train"), "backbones", ()))
    config = _with_backbone(config, opened.backbones)
    processes.check_equal({"devices": jax.local_device_count()} | checkpoint.flat_config(config))
    local_batch = parallel.local_batch_size(config.batch_size)
    if local_batch // jax.local_device_count() % config.accumulate:
        raise UserError(
            f"The {local_batch // jax.local_device_count()} clips of a device cannot be cut into "
            f"{config.accumulate} even parts: set --config.accumulate to a divisor of their number."
        )
    shards = parallel.local_shards(config.batch_size, config.data.shards)
    body = load_body()
    model = make_model(config.model, config.precision)
    optimizer = state.make_optimizer(config.optimizer, config.num_steps)
    adversary = state.make_adversary(config)
    fresh = functools.partial(state.init_state, model, body, optimizer, config.seed, adversary)
    # Shapes alone: a config that does not fit together ends here, before memory is taken.
    try:
        parts = jax.eval_shape(fresh)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"No model can be built from config.model ({error}): compare it with configs/hpof.py."
        ) from error
    bytes_ = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(parts))
    logging.info("the parameters, their mean and the optimizer take %.0f MB on each device", bytes_ / 1e6)
    train_state = fresh()
    if config.initial_weights:
        train_state = _with_weights(config.initial_weights, train_state, config.model)
    checkpointer = checkpoint.Checkpointer(workdir, config.keep_checkpoints)
    processes.check_equal({"the newest checkpoint at step": checkpointer.latest_step()})
    if checkpointer.latest_step() is not None:
        train_state = checkpointer.restore(train_state)
        changed = checkpointer.changes(config)
        before = ConfigDict({"backbone": changed.get("model.backbone", ("",))[0] or ""})
        weights.check_backbone(before, config.model.get("backbone", ""), "those of the data")
        changes = [f"{key} {old} -> {new}" for key, (old, new) in changed.items()]
        and_so = f" with another config: {', '.join(changes)}" if changes else ""
        logging.info("resumed %s at step %d%s", workdir, int(train_state.step), and_so)
    start = int(train_state.step)
    real = [spec for spec in config.data.real_motion.split(",") if spec and adversary]
    options = stream.StreamOptions(
        batch_size=local_batch,
        clip_length=config.clip_length,
        seed=config.seed,
        flow_frames=config.data.flow_frames,
        noise=DetectorNoise(severity=tuple(config.data.severity)),
        shards=shards,
        features=model.image_head is not None,
        real_sources=open_sources(dict.fromkeys(real, 1.0), "train") if real else None,
    )
    train_state = parallel.replicate(train_state)
    log = _Log(workdir) if jax.process_index() == 0 else None
    frames = config.batch_size * config.clip_length
    metrics: dict[str, float] = {}
    parameters = sum(x.size for x in jax.tree.leaves(train_state.params))

    totals = evaluation.make_totals(model, body)

    def begin(phase: schedule.Phase, number: int):
        """The compiled step of a phase, and its batches from the step `number` on."""
        outline = bool(OUTLINE_LOSSES & phase.loss_weights.keys())
        judge = adversary if "adversarial" in phase.loss_weights else None
        step = steps.make_train_step(
            model,
            body,
            optimizer,
            phase.loss_weights,
            seed=config.seed,
            ema_decay=config.optimizer.ema_decay,
            hide_3d=config.data.hide_3d,
            axis_name=parallel.AXIS,
            outline=decimate(body) if outline else None,
            annotated=keypoint_basis(body, "spin49") if config.data.prepared else None,
            adversary=judge,
            accumulate=config.accumulate,
            remat=config.remat,
            hide_input=config.data.hide_input if options.features and model.takes_landmarks else 0.0,
        )
        flow = config.data.flow if outline else "none"
        wanted = dataclasses.replace(options, flow=flow, real_motion=judge is not None)
        recipe = opened, wanted, jax.process_index()
        maker = functools.cache(lambda: stream.batch_maker(*recipe))
        skipped.begin(step, lambda number: maker().origins(number - 1))
        if config.data.processes:
            ahead = workers.Ahead(stream.batch_maker, recipe, config.data.processes)
            batches, close = as_dataset(ahead, number - 1), ahead.close
        else:
            batches, close = as_dataset(maker(), number - 1), lambda: None
        return parallel.pmap_step(step), input_wait.Fetched(batches.as_numpy_iterator(), close)

    evaluated = _with_validation_clips(sources) if config.eval_every else {}

    def evaluate(params) -> dict[str, float]:
        if not evaluated:
            return {}
        windows = validation.validation_windows(
            evaluated,
            dataclasses.replace(options, batch_size=config.batch_size),
            max_frames=config.eval_frames,
            synthetic_clips=config.eval_synthetic_clips,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return evaluation.evaluate(totals, params, {"": windows}, processes.gather)["overall"]

    quiet = None if jax.process_index() == 0 else True  # None: off where there is no terminal
    bar = tqdm.tqdm(total=config.num_steps, initial=start, unit="step", disable=quiet, dynamic_ncols=True)
    pace, skipped = _Pace(), skips.SkippedSteps()
    save_due = False
    with preemption.Notice() as notice:
        logging.info("%d parameters, %d devices, sources %s", parameters, jax.device_count(), sources)
        phase, logs = None, None
        batches = input_wait.Fetched(iter(()))
        for number in range(start + 1, config.num_steps + 1):
            begins = phase is None or number > phase.last
            if begins:
                phase = next(phase for phase in phases if number <= phase.last)
                skipped.settle(train_state)
                logging.info("step %d: compiling the step for %s", number, ", ".join(phase.loss_weights))
                batches.close()
                step, batches = begin(phase, number)
            batch = batches.take(logs)
            # The copy to the devices runs while they still compute the step before.
            placed = parallel.place(parallel.cut(batch))
            # The first call compiles, which may copy constants.
            with jax.transfer_guard("allow" if begins else "disallow"):
                train_state, logs = step(train_state, placed)
            skipped.note(number, logs.pop("skipped"), batch, train_state)
            if begins:
                jax.block_until_ready(logs)
                pace.restart(number, batches)  # the time of compiling does not count
                told = False
            bar.update()
            last = number == config.num_steps
            measured: dict[str, float] = {}
            stop = notice.received(number) and not last
            save_due |= number % config.checkpoint_every == 0 or last or stop
            if save_due:
                skipped.settle(train_state)
            if number % config.log_every == 0 or last:
                scalars = {f"train/{key}": float(value) for key, value in jax.device_get(logs).items()}
                scalars = {key: value for key, value in scalars.items() if np.isfinite(value)}
                scalars["train/skipped_steps"] = float(skipped.total)
                if lap := pace.lap(number, batches):
                    scalars["train/input_wait"] = lap.waiting
                    rate = scalars["train/frames_per_second"] = frames / lap.seconds
                    bar.set_postfix(loss=f"{scalars.get('train/total', np.nan):.3f}", frames_s=f"{rate:.0f}")
                    if not told and lap.steps == config.log_every:
                        logging.info(
                            "a step takes %.0f ms: %.0f frames/s; the devices wait for data %.0f %% of the time",
                            1e3 * lap.seconds,
                            rate,
                            100 * lap.waiting,
                        )
                        told = True
                if log:
                    log.write(number, scalars)
            if config.eval_every and (number % config.eval_every == 0 or last):
                metrics = measured = evaluate(train_state.ema)
                pace.restart(number, batches)
                if log and metrics:
                    log.write(number, {f"validation/{key}": value for key, value in metrics.items()})
                rounded = {key: round(value, 2) for key, value in metrics.items()}
                logging.info("step %d: %s", number, rounded or "no source has ground truth to evaluate on")
            # After a skipped step the checkpoint waits, so that a training that has gone wrong keeps the old ones.
            if save_due and (not skipped.in_a_row or last or stop):
                checkpointer.save(train_state, config, measured)
                save_due = False
            if stop:
                bar.close()
                batches.close()
                checkpointer.close()  # returns when everything is written
                logging.info(
                    "stopped at step %d, saved in %s: the same command resumes the run", number, workdir
                )
                sys.exit(notice.status)
    bar.close()
    batches.close()
    checkpointer.wait()
    checkpointer.close()
    return metrics


def data_sources(data: ConfigDict) -> dict[str, float]:
    """The sources of `config.data` and their shares: {"synthetic": 1.0, "bvh:FOLDER": 3.0}.

    The sources of a group, such as all mocap, divide its share evenly; a source that is named twice counts
    twice.

    Raises:
      UserError: the config names no source.
    """
    if shares := _shares(data):
        return shares
    raise UserError("The config names no motion: set --config.data.synthetic=1 or --config.data.bvh=FOLDER.")


def has_labels(data: ConfigDict) -> bool:
    """Whether `config.data` names a labelled source."""
    from data_pipelines.sources import parse_spec  # here, as in the other functions

    return any(parse_spec(spec).labelled for spec in _shares(data))


_MOCAP, _ALONE = ("bvh", "amass", "tfds"), ("rendered", "prepared", "unlabelled", "videos")


def _shares(data):
    shares = {"synthetic": data.synthetic} if data.synthetic else {}
    groups = {"mocap": _MOCAP} | {kind: (kind,) for kind in _ALONE}
    for group, kinds in groups.items():
        specs = [f"{kind}:{path}" for kind in kinds for path in data[kind].split(",") if path]
        for spec in specs:
            shares[spec] = shares.get(spec, 0.0) + data[f"{group}_share"] / len(specs)
    return shares


def _check_features(without: Iterable[str]) -> None:
    """Raises UserError if a source has no image features, which a model without landmarks needs."""
    if without := [*without]:
        raise UserError(
            f"{', '.join(without)} has no image features: prepare it again with --features and the weights of a "
            "ResNet-50, or train on landmarks with --config.model.inputs=\"('landmarks',)\"."
        )


def _with_backbone(config: ConfigDict, backbones: Set[str]) -> ConfigDict:
    """The config with the fingerprint of the ResNet-50 whose image features the data have, as `model.backbone`.

    Raises:
      UserError: the features are of several.
    """
    if "features" not in config.model.get("inputs", ()) or not backbones:
        return config
    if len(backbones) > 1:
        raise UserError(
            f"The image features of the data are of several ResNet-50s, with the fingerprints "
            f"{', '.join(sorted(backbones))}: prepare all data sets with the same --features."
        )
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.model.backbone = next(iter(backbones))
    return config


def _with_validation_clips(sources: Mapping[str, float]) -> dict[str, float]:
    """The sources that can be evaluated: a folder of few files may have none in its validation split."""
    from data_pipelines.sources import open_source, with_ground_truth  # here, as in the other functions

    evaluated = {}
    for spec, share in with_ground_truth(sources).items():
        try:
            open_source(spec, "validation")
        except UserError as error:
            logging.warning("left out of the evaluation while training: %s", error)
        else:
            evaluated[spec] = share
    return evaluated


def _with_weights(path: str, fresh: state.TrainState, model: ConfigDict) -> state.TrainState:
    """The fresh state with the parameters of a weights file or a training run; a fitting head may be new."""
    params, trained = weights.load_weights(path)
    if "fitting_head" in fresh.params and "fitting_head" not in params:
        logging.info("%s has no fitting head: its parameters fitting_head/... start fresh", path)
        params = params | {"fitting_head": fresh.params["fitting_head"]}
        trained = trained.copy_and_resolve_references()
        trained.fit_steps = model.fit_steps
    weights.check_params(params, fresh.params, path, trained, model)
    weights.check_backbone(trained, model.get("backbone", ""), "those of the data")
    return dataclasses.replace(fresh, params=params, ema=jax.tree.map(np.copy, params))


class _Lap(NamedTuple):
    """Steps between two lines of the log."""

    steps: int
    seconds: float  # of one step, on average
    waiting: float  # share of the time in which the devices waited for a batch


class _Pace:
    """Measures the time of a step."""

    def restart(self, step: int, batches: input_wait.Fetched) -> None:
        """Nothing before this step counts."""
        self._step, self._time, self._waited = step, time.monotonic(), batches.waited

    def lap(self, step: int, batches: input_wait.Fetched) -> _Lap | None:
        """The steps since the last call; None if there are none."""
        steps, seconds = step - self._step, time.monotonic() - self._time
        waited = batches.waited - self._waited
        self.restart(step, batches)
        return _Lap(steps, seconds / steps, waited / max(seconds, 1e-9)) if steps else None


class _Log:
    """Writes scalars to TensorBoard's event files and, one line for each call, to `metrics.jsonl`."""

    def __init__(self, workdir: str | os.PathLike):
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(workdir))
        path = os.path.join(str(workdir), "metrics.jsonl")
        before = tf.io.gfile.GFile(path).read() if tf.io.gfile.exists(path) else ""
        self._lines = tf.io.gfile.GFile(path, "a")
        if before and not before.endswith("\n"):  # a kill came in the middle of a line
            self._lines.write("\n")

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        with self._writer.as_default():
            for key, value in scalars.items():
                self._tf.summary.scalar(key, value, step=step)
        self._lines.write(json.dumps({"step": step, **scalars}) + "\n")
        self._lines.flush()
        self._writer.flush()


def _check(config: ConfigDict) -> list[schedule.Phase]:
    """The phases of the training, after a check of the config."""
    for key in ("losses", "ramps"):
        if unknown := set(config[key]) - LOSSES:
            raise UserError(f"There is no loss '{min(unknown)}': config.{key} takes {sorted(LOSSES)}.")
    seen = OUTLINE_LOSSES & {name for name, weight in config.losses.items() if weight}
    if seen and config.data.flow == "none":
        raise UserError(f"The loss '{min(seen)}' needs optical flow: set --config.data.flow=noisy.")
    for key in ("batch_size", "clip_length", "num_steps", "accumulate"):
        if config[key] < 1:
            raise UserError(f"config.{key} is {config[key]}: it must be at least 1.")
    if config.data.processes < 0:
        raise UserError(f"config.data.processes is {config.data.processes}: it must be at least 0.")
    return schedule.make_phases(config.losses.to_dict(), config.ramps.to_dict(), config.num_steps)


@cli.entry_point
def main() -> None:
    config = read_flags()
    if not _DISTRIBUTED.value:
        train(config, _WORKDIR.value)
        return
    processes.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    with processes.watched():
        train(config, _WORKDIR.value)


def read_flags(usage: str | None = __doc__) -> ConfigDict:
    """Parses all flags and returns the config, with the changes of the command line; --help prints `usage`.

    Raises:
      UserError: no config, one that cannot be read, or a flag or a config key that does not exist.
    """
    if {"-h", "--help"} & {*sys.argv}:
        print((usage or "").strip())
        sys.exit()
    try:
        flags.FLAGS([_with_config(argument) for argument in sys.argv])
        config = _CONFIG.value
        if config is not None:
            _ = config.seed  # a config file that cannot be read raises at the first access
    except (AttributeError, KeyError) as error:
        raise UserError(
            f"The config has no key {str(error).strip(chr(34))}: the config file lists its keys."
        ) from error
    except (flags.Error, ValueError, TypeError, OSError, SyntaxError) as error:
        # Lines between the first and the last are a traceback.
        first, *_, last = [*filter(str.strip, str(error).splitlines())] * 2
        reason = first if first == last else f"{first.strip()} {last.strip()}"
        reason = reason.replace("Configuration is not available because of an earlier failure to load: ", "")
        raise UserError(f"{reason} (usage: --config FILE [--workdir DIR] [--config.KEY=VALUE])") from error
    if config is None:
        raise UserError("No config was given: add --config configs/hpof.py.")
    return config


def _with_config(argument: str) -> str:
    """The argument, with the path of the package's own config where it names that."""
    option, equals, path = argument.rpartition("=")
    is_config = option in ("", "--config", "-config")
    return f"{option}{equals}{config_files.find_config(path)}" if is_config else argument


if __name__ == "__main__":
    main()
