"""Trains a model.

    python -m hpof_jax.train --config configs/hpof.py [--workdir DIR] [--config.KEY=VALUE ...]

SIGTERM and Ctrl-C save a checkpoint and stop; the same command resumes the run. Order of a start: config,
sources, devices, model, state (random, `config.initial_weights` or the newest checkpoint), batches from its step on.
"""

import os
import sys
from collections.abc import Mapping

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from hpof_jax import cli, config_files
from hpof_jax.errors import UserError
from hpof_jax.train_data import TrainingData
from hpof_jax.training import parallel, processes, setup
from hpof_jax.training.checkpoint import Checkpointer, flat_config
from hpof_jax.training.loop import Loop

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
    phases = setup.check_config(config)
    data = TrainingData(config)
    config = setup.with_backbone(config, data.backbones)
    processes.check_equal({"devices": jax.local_device_count()} | flat_config(config))
    parts = setup.make_parts(config)
    state = setup.first_state(parts, config)
    checkpointer = Checkpointer(workdir, config.keep_checkpoints)
    state = parallel.replicate(setup.resumed(state, checkpointer, config, workdir))
    return Loop(config, workdir, parts, data, checkpointer).run(state, phases)


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
