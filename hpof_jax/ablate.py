"""Trains the method without each of its parts, evaluates every run, and reports the differences.

    python -m hpof_jax.ablate --config configs/hpof.py:ablation [--workdir runs/ablation] [--seeds 0,1,2]
        [--variants full,no_flow] [--report docs/experiments.md] [--config.data.bvh=FOLDER ...]

Every run is an ordinary training in WORKDIR/VARIANT/seed_N; data, seeds and number of steps are the same in
all. The same command resumes what was stopped. Each run is evaluated on the validation files of each source,
with the weights of its last step, which no score has chosen. Text in the report outside the two marks is
kept.
"""

import functools
import json
import os
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging
from ml_collections import ConfigDict

from hpof_jax import ablation_report, cli, evaluate, train
from hpof_jax.archives import damage
from hpof_jax.atomic import replacing
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.hpof import HPOF
from hpof_jax.models.inputs import NUM_FEATURES, Inputs
from hpof_jax.timing import interleaved
from hpof_jax.train_data import data_sources, has_labels
from hpof_jax.training.terms import OUTLINE_LOSSES

_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Every variant is trained with each of these seeds.")
_VARIANTS = flags.DEFINE_list(
    "variants", None, "Which variants; by default all that change something in this config."
)
_REPORT = flags.DEFINE_string("report", None, "The Markdown file to write; WORKDIR/report.md by default.")


# --- the variants: functions that change the config; the report quotes their docstrings --------------


def full(config: ConfigDict) -> None:
    """all parts: flow losses, adversary, shape before pose, kinematic tree, dilated encoder"""


def no_flow(config: ConfigDict) -> None:
    """without the losses on optical flow and silhouettes"""
    _without(config, *OUTLINE_LOSSES)


def no_adversary(config: ConfigDict) -> None:
    """without the adversarial prior"""
    _without(config, "adversarial")


def no_decomposition(config: ConfigDict) -> None:
    """shape and all joints at once, in each frame"""
    config.model.update({"head_type": "flat", "shape_per": "frame"})


def no_tree(config: ConfigDict) -> None:
    """the clip's shape first, then all joints at once"""
    config.model.head_type = "flat"


def no_dilation(config: ConfigDict) -> None:
    """dilation 1 in every layer"""
    config.model.dilations = (1,) * len(config.model.dilations)


def no_fitting_head(config: ConfigDict) -> None:
    """without the fitting head, which compares the answer with the observed landmarks"""
    config.model.fit_steps = 0


def gru(config: ConfigDict) -> None:
    """a bidirectional GRU with about as many parameters instead of the dilated encoder"""
    config.model.encoder_type = "gru"


def per_frame(config: ConfigDict) -> None:
    """kernel size 1: no temporal context except for the shape"""
    config.model.kernel_size = 1


def no_rendered(config: ConfigDict) -> None:
    """without rendered clips, which the real detector has observed"""
    config.data.rendered = ""


def _without(config, *losses):
    config.losses.update({name: 0.0 for name in losses if name in config.losses})


VARIANTS: dict[str, Callable[[ConfigDict], None]] = {
    change.__name__: change
    for change in (
        full, no_flow, no_adversary, no_decomposition, no_tree, no_dilation, no_fitting_head, gru, per_frame,
        no_rendered,
    )
}  # fmt: skip


def vary(config: ConfigDict, variant: str, seed: int = 0) -> ConfigDict:
    """The config of one run.

    Raises:
      UserError: no such variant, or one that changes nothing in this config or leaves no labelled source.
    """
    if variant not in VARIANTS:
        raise UserError(f"There is no variant '{variant}': choose from {', '.join(VARIANTS)}.")
    varied = _changed(config, variant)
    if variant != "full" and varied == config:
        raise UserError(
            f"The variant '{variant}' changes nothing in this config: give --config configs/hpof.py:ablation."
        )
    if variant != "full" and not has_labels(varied.data):
        raise UserError(f"The variant '{variant}' leaves no labelled source: leave it out of --variants.")
    varied.seed = seed
    return varied


def _changed(config, variant):
    if config.model.name != "hpof":
        raise UserError(
            f"The model '{config.model.name}' has no such parts: give a config of the model 'hpof'."
        )
    varied = config.copy_and_resolve_references()
    VARIANTS[variant](varied)
    return varied


# --- the runs ---------------------------------------------------------------------------------------


def ablate(
    config: ConfigDict,
    workdir: str | os.PathLike,
    report: str | os.PathLike | None = None,
    variants: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    command: Sequence[str] = (),
) -> dict[str, list[dict]]:
    """Trains and evaluates the runs that are not finished, and writes the report and its plot.

    Args:
      config: the config of the variant "full"; its seed is not used.
      report: a Markdown file, `workdir/report.md` by default; its text outside the marks is kept.
      variants: by default, all that change something in this config.
      command: the command line that the report quotes.

    Returns:
      variant -> the `result.json` of each seed: {"domains": {source: metrics as from `evaluate.evaluate`}}.

    Raises:
      UserError: an unknown variant, a report that cannot be written, a `workdir` of another config, or an
        error of `train.train`.
    """
    from data_pipelines.sources import with_ground_truth  # here, because TensorFlow may be imported with it

    if variants is None:
        changed = {name: _changed(config, name) for name in VARIANTS}
        variants = [
            n for n, other in changed.items() if n == "full" or (other != config and has_labels(other.data))
        ]
    variants, seeds = [*dict.fromkeys(variants)], [*dict.fromkeys(seeds)]
    if not variants or not seeds:
        raise UserError("There is nothing to run: name at least one of --variants and one of --seeds.")
    if "://" in str(workdir):
        raise UserError(
            f"The ablations need a --workdir on this machine, not {workdir}: name a local folder."
        )
    workdir = pathlib.Path(workdir)
    report = pathlib.Path(report or workdir / "report.md")
    runs = [(variant, seed, vary(config, variant, seed)) for seed in seeds for variant in variants]
    models = {variant: make_model(varied.model) for variant, _, varied in runs}
    domains = [*with_ground_truth(data_sources(config.data))]
    if not domains:
        raise UserError(
            "No source of the config has ground truth: add one, such as --config.data.bvh=FOLDER."
        )
    if report.parent != workdir or workdir.exists():
        ablation_report.merged(report, "", variants)  # raises before hours of training
    _claim(workdir, config)

    results: dict[str, list[dict]] = {variant: [] for variant in variants}
    for number, (variant, seed, varied) in enumerate(runs, 1):
        folder = workdir / variant / f"seed_{seed}"
        path = folder / "result.json"
        if not path.exists():
            logging.info("run %d of %d: %s, seed %d", number, len(runs), variant, seed)
            varied.eval_every = 0  # without a metric, `weights.npz` is that of the last step
            train.train(varied, folder)
            measured = evaluate.evaluate(
                folder / "weights.npz",
                (*domains,),
                clip_length=config.clip_length,
                max_frames=config.eval_frames,
                synthetic_clips=config.eval_synthetic_clips,
                raw=True,
            )
            with replacing(path, "The result") as partial:
                text = json.dumps({"domains": measured["sources"]}, indent=2)
                partial.write_text(text + "\n", encoding="utf-8")
            jax.clear_caches()  # every run compiles other programs
        results[variant].append(read_result(path, domains))
        scores = results[variant][-1]["domains"]
        text = ", ".join(f"{scores[source]['pa_mpjpe']:.1f} mm on {source}" for source in domains)
        logging.info("%d of %d finished: %s, seed %d: PA-MPJPE %s", number, len(runs), variant, seed, text)

    columns, device = {"parameters": {variant: _parameters(model) for variant, model in models.items()}}, ""
    if len(models) > 1:
        columns["frames/s"] = _rates(models, config.batch_size, config.clip_length)
        device = f"{jax.local_device_count()} x {jax.devices()[0].device_kind}"
    sources = data_sources(config.data)
    descriptions = {variant: VARIANTS[variant].__doc__ or "" for variant in variants}
    preface = ablation_report.preface(config, command, [*sources], seeds, descriptions, device)
    ablation_report.write(report, preface, results, sources, columns)
    logging.info("the report is in %s", report)
    return results


def read_result(path: pathlib.Path, sources: Sequence[str]) -> dict:
    """The result of a run, {"domains": {source: {metric: number}}}.

    Raises:
      UserError: it cannot be read, or lacks a source.
    """
    with damage(
        path, "the result of a run on these sources", "delete it; the same command measures the run again"
    ):
        result = json.loads(path.read_text(encoding="utf-8"))
        scores = result.get("domains") if isinstance(result, dict) else None
        for source in sources:
            row = scores.get(source) if isinstance(scores, dict) else None
            if not isinstance(row, dict) or not all(isinstance(x, int | float) for x in row.values()):
                raise ValueError(f"it has no scores on {source}")
            if "pa_mpjpe" not in row:
                raise ValueError(f"it has no pa_mpjpe on {source}")
    return result


def _claim(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Writes the config into `workdir`; raises UserError if runs of another one are there."""
    path, made = workdir / "config.json", json.loads(config.to_json_best_effort())
    made.pop("seed")
    saved = (next(workdir.glob(f"*/seed_*/{kind}"), None) for kind in ("checkpoints/*", "result.json"))
    if path.exists() and any(saved):
        with damage(path, "a readable config", f"give another --workdir than {workdir}"):
            before = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(before, dict):
                raise ValueError("it holds no dictionary")
        before, now = _flat(before), _flat(made)
        if odd := sorted(key for key in before | now if before.get(key) != now.get(key)):
            raise UserError(
                f"The runs in {workdir} are of another config ('{odd[0]}' differs): use another "
                "--workdir, or the config they were made with."
            )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{workdir} cannot be made ({error.strerror}): use another --workdir.") from error
    with replacing(path, "The config") as partial:
        partial.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _flat(tree):
    return flax.traverse_util.flatten_dict(tree, sep=".")


def _parameters(model):
    body = load_body()
    shapes = jax.eval_shape(lambda: init_params(model, body, 0))
    return sum(x.size for x in jax.tree.leaves(shapes))


def _rates(models: Mapping[str, HPOF], clips: int, frames: int, rounds: int = 9) -> dict[str, float]:
    """Frames per second of each variant's model on a batch: the median of rounds in which all take turns."""
    body, there = load_body(), np.ones((clips, frames), bool)
    features = np.random.default_rng(0).normal(0, 0.5, (clips, frames, NUM_FEATURES)).astype(np.float32)
    inputs = Inputs(*map(jnp.asarray, (features, np.ones((clips, frames, 3), np.float32), there, there)))
    ways = {}
    for model in dict.fromkeys(models.values()):  # variants that differ in training alone share one
        predict = jax.jit(
            lambda params, inputs, body, model=model: model.apply({"params": params}, inputs, body)
        )
        ways[model] = functools.partial(predict, init_params(model, body, 0), inputs, body)
    times = interleaved(ways, rounds)
    return {
        variant: clips * frames / statistics.median(times[model]["wall"]) for variant, model in models.items()
    }


@cli.entry_point
def main() -> None:
    flags.FLAGS.set_default("workdir", "runs/ablation")
    config = train.read_flags(__doc__)
    if flags.FLAGS.distributed:
        raise UserError("The ablations run in one process: leave out --distributed.")
    try:
        seeds = [int(seed) for seed in _SEEDS.value]
    except ValueError as error:
        raise UserError(
            f"The seeds '{','.join(_SEEDS.value)}' are no whole numbers: give some, such as --seeds 0,1,2."
        ) from error
    command = ["python", "-m", "hpof_jax.ablate", *sys.argv[1:]]
    ablate(config, flags.FLAGS.workdir, _REPORT.value, _VARIANTS.value, seeds, command)


if __name__ == "__main__":
    main()
