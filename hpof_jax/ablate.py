"""Trains and measures the method with one part taken out or exchanged at a time, and reports what that changes.

    python -m hpof_jax.ablate --config configs/hpof.py:ablation [--workdir runs/ablation] [--seeds 0,1,2]
        [--variants full,no_flow] [--report docs/experiments.md] [--config.data.bvh=FOLDER ...]

Every run is an ordinary training in WORKDIR/VARIANT/seed_N, with the same data, seeds and budget as the others; the
same command goes on where it stopped. Each is measured on the validation files of every source on its own, by the
weights at its end: none are chosen by what they score there. Text in the report outside the two marks is kept.
"""

import json
import os
import pathlib
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from absl import flags, logging
from ml_collections import ConfigDict

from hpof_jax import ablation_report as comparison
from hpof_jax import cli, evaluate, train
from hpof_jax.atomic import replacing
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.inputs import NUM_FEATURES, Inputs
from hpof_jax.training.terms import OUTLINE_LOSSES

_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Every variant is trained with each of these seeds.")
_VARIANTS = flags.DEFINE_list(
    "variants", None, "Which variants; by default all that change something in this config."
)
_REPORT = flags.DEFINE_string("report", None, "The Markdown file to write; WORKDIR/report.md by default.")


# --- the variants: what each changes in the config, and says of itself in the report ----------------


def full(config: ConfigDict) -> None:
    """everything: losses on flow and silhouettes, adversary, shape before pose, kinematic tree, dilated encoder"""


def no_flow(config: ConfigDict) -> None:
    """without the losses on flow and silhouettes"""
    _without(config, *OUTLINE_LOSSES)  # the data keeps its flow: other random numbers would make other clips


def no_adversary(config: ConfigDict) -> None:
    """without the adversarial prior"""
    _without(config, "adversarial")


def no_decomposition(config: ConfigDict) -> None:
    """shape and all joints at once, from each frame's feature"""
    config.model.update({"head_type": "flat", "shape_per": "frame"})


def no_tree(config: ConfigDict) -> None:
    """the clip's shape first, then all joints at once"""
    config.model.head_type = "flat"


def no_dilation(config: ConfigDict) -> None:
    """dilation 1 in every layer"""
    config.model.dilations = (1,) * len(config.model.dilations)


def gru(config: ConfigDict) -> None:
    """a bidirectional GRU of about as many parameters in the dilated encoder's place"""
    config.model.encoder_type = "gru"


def per_frame(config: ConfigDict) -> None:
    """kernel size 1: no context but the shape's"""
    config.model.kernel_size = 1


def no_rendered(config: ConfigDict) -> None:
    """without the rendered clips that the real detector has watched"""
    config.data.rendered = ""


def _labelled(config):
    kinds = ("synthetic", "bvh", "amass", "tfds", "rendered")
    return any(config.data[kind] for kind in kinds)


def _without(config, *losses):
    kept = {name: weight for name, weight in config.losses.items() if name not in losses}
    config.losses = ConfigDict(kept)


VARIANTS: dict[str, Callable[[ConfigDict], None]] = {
    change.__name__: change
    for change in (
        full,
        no_flow,
        no_adversary,
        no_decomposition,
        no_tree,
        no_dilation,
        gru,
        per_frame,
        no_rendered,
    )
}


def vary(config: ConfigDict, variant: str, seed: int = 0) -> ConfigDict:
    """The config of one run.

    Raises:
      UserError: no such variant, or one that changes nothing or leaves no labelled motion here.
    """
    if variant not in VARIANTS:
        raise UserError(f"There is no variant '{variant}': choose from {', '.join(VARIANTS)}.")
    varied = _changed(config, variant)
    if variant != "full" and varied == config:
        raise UserError(
            f"The variant '{variant}' changes nothing in this config: give --config configs/hpof.py:ablation."
        )
    if variant != "full" and not _labelled(varied):
        raise UserError(f"The variant '{variant}' leaves no labelled motion: leave it out of --variants.")
    varied.seed = seed
    return varied


def _changed(config, variant):
    if config.model.name != "hpof":
        raise UserError(f"The model '{config.model.name}' has no such parts: give a config of 'hpof'.")
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
    command: str = "",
) -> dict[str, list[dict]]:
    """Trains and measures what has not been, and writes the report and, beside it, its plots.

    Args:
      config: of the variant "full"; its seed does not count.
      variants: all that change something in this config, by default.
      report: the Markdown file, `workdir/report.md` by default; what stands in it outside the marks is kept.
      command: what the report names as its origin.

    Returns:
      variant -> the `result.json` of each seed: {"domains": {source: metrics as of `evaluate.evaluate`}}.

    Raises:
      UserError: an unknown variant, a report that cannot be written, a `workdir` made with another config, or whatever a
        training finds wrong.
    """
    from data_pipelines.sources import with_truth  # here, as in the other programs

    if variants is None:
        changed = {name: _changed(config, name) for name in VARIANTS}
        variants = [
            n for n, other in changed.items() if n == "full" or (other != config and _labelled(other))
        ]
    variants, seeds = [*dict.fromkeys(variants)], [*dict.fromkeys(seeds)]
    if not variants or not seeds:
        raise UserError("Nothing is to be run: name at least one of --variants and one of --seeds.")
    if "://" in str(workdir):
        raise UserError(f"The ablations need a --workdir on this machine, and {workdir} is not.")
    workdir = pathlib.Path(workdir)
    report = pathlib.Path(report or workdir / "report.md")
    runs = [(variant, seed, vary(config, variant, seed)) for seed in seeds for variant in variants]
    models = {variant: make_model(varied.model) for variant, _, varied in runs}
    domains = [*with_truth(train.data_sources(config.data))]
    if not domains:
        raise UserError(
            "No source of the config has a truth to measure against: add one, such as --config.data.bvh."
        )
    if report.parent != workdir or workdir.exists():
        # Whether it can be written is better known before hours of training.
        comparison.merged(report, "", variants)
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
            jax.clear_caches()  # no other run compiles the same
        results[variant].append(json.loads(path.read_text(encoding="utf-8")))
        scores = results[variant][-1]["domains"]
        said = ", ".join(f"{scores[source]['pa_mpjpe']:.1f} mm on {source}" for source in domains)
        logging.info("%d of %d finished: %s, seed %d: PA-MPJPE %s", number, len(runs), variant, seed, said)

    columns = {"parameters": {variant: _parameters(model) for variant, model in models.items()}}
    if len(models) > 1:
        columns["frames/s"] = _rates(models, config.batch_size, config.clip_length)
    preface = [*_preface(config, seeds, domains, variants, "frames/s" in columns, command)]
    comparison.write(report, preface, results, train.data_sources(config.data), columns)
    logging.info("the report is in %s", report)
    return results


def _claim(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Notes the config in `workdir`; raises UserError if something was trained there with another one."""
    path, made = workdir / "config.json", json.loads(config.to_json_best_effort())
    made.pop("seed")
    saved = (next(workdir.glob(f"*/seed_*/{kind}"), None) for kind in ("checkpoints/*", "result.json"))
    if path.exists() and any(saved):
        before, now = _flat(json.loads(path.read_text(encoding="utf-8"))), _flat(made)
        if odd := sorted(key for key in before | now if before.get(key) != now.get(key)):
            raise UserError(
                f"The runs in {workdir} are of another config ('{odd[0]}' differs): use another --workdir, or the "
                "config they were made with."
            )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{workdir} cannot be made ({error.strerror}): use another --workdir.") from error
    with replacing(path, "The config") as partial:
        partial.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _flat(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key in tree for k, v in _flat(tree[key], f"{prefix}.{key}".lstrip(".")).items()}


def _parameters(model):
    body = load_body()
    shapes = jax.eval_shape(lambda: init_params(model, body, 0))
    return sum(x.size for x in jax.tree.leaves(shapes))


def _rates(models: Mapping[str, object], clips: int, frames: int, rounds: int = 9) -> dict[str, float]:
    """Frames per second of each variant's model on a batch: the median of rounds in which they take turns."""
    body, there = load_body(), np.ones((clips, frames), bool)
    features = np.random.default_rng(0).normal(0, 0.5, (clips, frames, NUM_FEATURES)).astype(np.float32)
    inputs = Inputs(features, np.ones((clips, frames, 3), np.float32), there, there)
    ways = {}
    for model in dict.fromkeys(models.values()):  # some variants differ in their training alone
        predict = jax.jit(
            lambda params, inputs, body, model=model: model.apply({"params": params}, inputs, body)
        )
        ways[model] = predict, init_params(model, body, 0)
    spent = {model: [] for model in ways}
    for number in range(rounds + 1):
        for model, (predict, params) in ways.items():
            start = time.perf_counter()
            jax.block_until_ready(predict(params, inputs, body))
            if number:  # the first one compiles
                spent[model].append(time.perf_counter() - start)
    return {variant: clips * frames / statistics.median(spent[model]) for variant, model in models.items()}


def _preface(config, seeds, domains, variants, timed, command):
    sources = ", ".join(f"`{source}`" for source in train.data_sources(config.data))
    over = (
        f"seeds {', '.join(map(str, seeds))}: mean ± standard deviation" if seeds[1:] else f"seed {seeds[0]}"
    )
    yield f"`{command}`\n" if command else ""
    yield (
        f"Every row was trained for {config.num_steps:,} steps of {config.batch_size} clips x {config.clip_length} frames "
        f"on {sources}; {over}. Measured on the validation files of each source, at most {config.eval_frames} frames of "
        f"each, in windows of {config.clip_length} frames, with the weights at the end of training, by the raw "
        "prediction (`hpof_jax.evaluate --raw`). Millimetres, mm/frame^2; the spreads are standard deviations within a window."
        + (" Synthetic motion is made up, and its scores with it." if "synthetic" in domains else "")
    )
    if timed:
        yield (
            f"Frames/s: the model alone on {config.batch_size} x {config.clip_length} frames, variants taking turns, on "
            f"{jax.local_device_count()} x {jax.devices()[0].device_kind}; what differs in training alone is one model."
        )
    yield ""
    yield from (f"- `{variant}`: {VARIANTS[variant].__doc__}" for variant in variants)


@cli.entry_point
def main() -> None:
    flags.FLAGS.set_default("workdir", "runs/ablation")
    config = train.read_flags()
    if flags.FLAGS.distributed:
        raise UserError("The ablations run in one process: leave --distributed out.")
    try:
        seeds = [int(seed) for seed in _SEEDS.value]
    except ValueError as error:
        raise UserError(
            f"The seeds '{','.join(_SEEDS.value)}' are not whole numbers: give --seeds 0,1,2."
        ) from error
    command = shlex.join(["python", "-m", "hpof_jax.ablate", *sys.argv[1:]])
    ablate(config, flags.FLAGS.workdir, _REPORT.value, _VARIANTS.value, seeds, command)


if __name__ == "__main__":
    main()
