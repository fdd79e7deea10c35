"""What is to be trained and on which machines, and the commands that this becomes."""

import dataclasses
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAUSE = 30  # seconds between two looks at a queue, and before a restart


@dataclasses.dataclass(frozen=True)
class Command:
    """A program with its arguments; no shell takes part.

    stdin: the text that it reads.
    until: it is run again and again until it prints this, or one of `never`, which counts as a failure.
    """

    arguments: tuple[str, ...]
    stdin: str = ""
    until: str = ""
    never: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The same for a shell."""
        text = shlex.join(self.arguments)
        if self.until:
            return f'until [ "$({text})" = {shlex.quote(self.until)} ]; do sleep {PAUSE}; done'
        return f"{text} <<'END'\n{self.stdin}END" if self.stdin else text


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run; what a platform does not need is left at its default."""

    name: str
    workdir: str = ""  # of the run: a folder that all machines reach
    config: str = "configs/hpof.py"
    arguments: tuple[str, ...] = ()  # further ones of hpof_jax.train
    env: tuple[str, ...] = ()  # NAME=VALUE
    restart: int = 0  # how often a run that was preempted or failed is started again
    spot: bool = False
    type: str = "v5litepod-16"
    zone: str = ""
    project: str = ""
    runtime_version: str = ""  # the TPU's image; by default the one that fits its type
    queued: bool = False
    valid_until: str = ""  # how long the request may wait in the queue, such as 6h
    cluster: str = ""
    image: str = ""
    nodes: int = 1  # of a Slurm cluster
    gpus: int = 8  # of each node

    def training(self, python: str, distributed: bool = True) -> list[str]:
        """The training's command, the same on every host."""
        options = ["--config", self.config, "--workdir", self.workdir, *["--distributed"] * distributed]
        return [python, "-m", "hpof_jax.train", *options, *self.arguments]

    @property
    def on_gpus(self) -> bool:
        """Whether `type` names the GPUs of one host, such as H100:8, and not a TPU slice."""
        return self.type[:1].isupper()

    @property
    def slice(self) -> "Slice":
        """The TPU slice that `type` names."""
        return Slice.of(self.type)


@dataclasses.dataclass(frozen=True)
class Slice:
    """A TPU slice in the words of each tool."""

    hosts: int
    chips_per_host: int
    topology: str  # such as 4x4
    accelerator: str  # GKE's name
    machine: str  # GKE's machine type
    image: str  # of the TPU VM

    @classmethod
    def of(cls, name: str) -> "Slice":
        """The slice of an accelerator type, such as v5litepod-16.

        Raises:
          ValueError: there is no such type.
        """
        generation, _, number = name.rpartition("-")
        if generation not in _GENERATIONS or not re.fullmatch("[1-9][0-9]*", number):
            raise ValueError(
                f"there is no TPU type {name!r}: use one of {', '.join(_GENERATIONS)} with a number"
            )
        accelerator, machine, image, per_chip, axes = _GENERATIONS[generation]
        chips = int(number) // per_chip
        shape, axis = [1] * axes, 0
        while chips > 1 and chips % 2 == 0:  # double the axes in turn: 2x2, 2x4, 4x4 and 2x2x1, 2x2x2, 2x2x4
            shape[axis], chips, axis = 2 * shape[axis], chips // 2, (axis + 1) % axes
        wrong, chips = chips != 1, int(number) // per_chip
        if wrong or chips == 2:
            raise ValueError(
                f"there is no TPU type {name!r}: it has 1, 4, 8, 16 or another power of two chips"
            )
        topology = "x".join(map(str, sorted(shape) if chips > 4 else shape))
        per_host = min(4, chips)
        return cls(chips // per_host, per_host, topology, accelerator, f"{machine}-{per_host}t", image)


# GKE's accelerator and machine, the image of a TPU VM, cores that the number in the name counts for a chip, axes
_GENERATIONS = {
    "v3": ("tpu-v3-slice", "ct3p-hightpu", "tpu-ubuntu2204-base", 2, 2),
    "v4": ("tpu-v4-podslice", "ct4p-hightpu", "tpu-ubuntu2204-base", 2, 3),
    "v5litepod": ("tpu-v5-lite-podslice", "ct5lp-hightpu", "v2-alpha-tpuv5-lite", 1, 2),
    "v5p": ("tpu-v5p-slice", "ct5p-hightpu", "v2-alpha-tpuv5", 2, 3),
    "v6e": ("tpu-v6e-slice", "ct6e-standard", "v2-alpha-tpuv6e", 1, 2),
}
