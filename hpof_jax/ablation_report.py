"""The report of an ablation: Markdown with tables, and a plot.

The argument `results` maps each variant to [{"domains": {source: metrics}}], one entry per seed, with the
metrics of `evaluate.evaluate`.
"""

import os
import pathlib
import shlex
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError

BEGIN = "<!-- What follows is written by hpof_jax.ablate: write above it or below its end. -->"
END = "<!-- The end of what is written by hpof_jax.ablate. -->"
COLUMNS = {  # metric -> its heading and decimals
    "mpjpe": ("MPJPE", 1),
    "pa_mpjpe": ("PA-MPJPE", 1),
    "pve": ("PVE", 1),
    "acceleration_error": ("acceleration error", 1),
    "betas_spread": ("spread of betas", 3),
    "bone_spread": ("spread of bones", 2),
}
PLOTTED = ("pa_mpjpe", "pve", "acceleration_error", "bone_spread")

_WIDTH = 120  # columns

Results = Mapping[str, Sequence[Mapping]]


def write(
    path: pathlib.Path,
    preface: Sequence[str],
    results: Results,
    sources: Mapping[str, float],
    columns: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes the file and, beside it, the plot as a PNG. The file's text outside the marks is kept.

    Args:
      preface: lines above the tables, as from `preface`.
      sources: the training's sources; a spec says whether the source was labelled.
      columns: the columns of the models' table: heading -> variant -> number.

    Raises:
      UserError: as `merged`.
    """
    picture = path.with_suffix(".png")
    image = f"![Mean and standard deviation over the seeds]({picture.name})"
    block = "\n".join([*preface, *tables(results, sources, columns), image])
    text = merged(path, block, [*results])
    with replacing(picture, "The plots") as partial:
        plot(results, partial)
    with replacing(path, "The report") as partial:
        partial.write_text(text, encoding="utf-8")


def preface(
    config: Mapping,
    command: Sequence[str],
    sources: Sequence[str],
    seeds: Sequence[int],
    descriptions: Mapping[str, str],
    device: str = "",
) -> list[str]:
    """The lines above the tables: the command, the protocol and the variants.

    Args:
      config: the config of the trainings. sources: their specs. command: its arguments; empty for none.
      descriptions: variant -> what it is.
      device: where the frames/s were measured, if they were.
    """
    names = ", ".join(f"`{source}`" for source in sources)
    over = f"seed {seeds[0]}"
    if seeds[1:]:
        over = f"seeds {', '.join(map(str, seeds))}: mean ± standard deviation"
    protocol = (
        f"Every row: {config.num_steps:,} training steps of {config.batch_size} clips x {config.clip_length} "
        f"frames on {names}; {over}. Evaluated on the validation files of each source, at most "
        f"{config.eval_frames} frames of each file, in windows of {config.clip_length} frames, with the "
        "weights of the last step, raw predictions (`hpof_jax.evaluate --raw`). Units: mm, mm/frame^2; the "
        "spreads are standard deviations within a window."
    )
    if "synthetic" in sources or "unlabelled:synthetic" in sources:
        protocol += " Synthetic motion is generated: scores on it are no scores on real motion."
    lines = ["```", *_command_lines(command), "```", ""] if command else []
    lines += _wrapped(protocol)
    if device:
        rates = (
            f"Frames/s: only the model, on {config.batch_size} x {config.clip_length} frames, on {device}; "
            "the median of rounds in which all variants take turns. Variants that differ only in training "
            "are one model."
        )
        lines += ["", *_wrapped(rates)]
    return [*lines, "", *(f"- `{variant}`: {text}" for variant, text in descriptions.items())]


def tables(
    results: Results, sources: Mapping[str, float], columns: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    """The lines of the tables: one for the models, one for each domain."""
    yield "\n### The models\n"
    rows = {name: [f"{column[name]:,.0f}" for column in columns.values()] for name in results}
    yield from _table([*columns], rows)
    for source, first in next(iter(results.values()))[0]["domains"].items():
        ways = [
            way for way, spec in (("with", source), ("without", f"unlabelled:{source}")) if spec in sources
        ]
        yield f"\n### `{source}`, trained on {' and '.join(ways)} labels\n"
        yield f"{first['clips']:.0f} clips, {first['frames']:,.0f} frames.\n"
        rows = {
            variant: [
                _cell([run["domains"][source][key] for run in runs], decimals)
                for key, (_, decimals) in COLUMNS.items()
            ]
            for variant, runs in results.items()
        }
        yield from _table([heading for heading, _ in COLUMNS.values()], rows)
    yield ""


def plot(results: Results, path: pathlib.Path) -> None:
    """Draws a row of plots for each domain: means over the seeds, with standard deviations as bars."""
    from matplotlib.figure import Figure  # here, because it is slow to import

    domains = [*next(iter(results.values()))[0]["domains"]]
    size = 3.2 * len(PLOTTED), len(domains) * (1.2 + 0.3 * len(results))
    figure = Figure(figsize=size, layout="constrained")
    for row, source in zip(figure.subplots(len(domains), len(PLOTTED), squeeze=False, sharey=True), domains):
        for axes, key in zip(row, PLOTTED):
            for place, runs in enumerate(results.values()):
                values = [run["domains"][source][key] for run in runs]
                spread = statistics.stdev(values) if values[1:] else 0.0
                axes.errorbar(statistics.mean(values), place, xerr=spread, fmt="o", color="black", capsize=3)
            axes.set_xlabel(COLUMNS[key][0])
            axes.grid(axis="x", alpha=0.3)
        row[0].set_yticks(range(len(results)), results)
        row[0].set_title(source, loc="left")
    row[0].invert_yaxis()  # this axis is shared by all plots
    figure.savefig(path, dpi=120)


def merged(path: pathlib.Path, text: str, variants: Sequence[str]) -> str:
    """The new content of the report: `text` between the marks, and the old text outside them.

    Raises:
      UserError: the file cannot be read or written, or has one mark without the other.
    """
    block = f"{BEGIN}\n\n{text}\n\n{END}"
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} into: make it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise UserError(f"The report cannot be written to {path}: name another --report.")
    if not path.exists():
        places = "\n".join(f"- `{variant}`:" for variant in variants)
        return f"# Ablations\n\n{block}\n\n## What the rows say\n\n{places}\n"
    try:
        there = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): name another --report.") from error
    above, begin, rest = there.partition(BEGIN)
    _, end, below = rest.partition(END)
    if begin and end:
        return above + block + below
    if begin or END in there:
        raise UserError(
            f"{path} has only one of the two marks around the part that hpof_jax.ablate writes: delete it."
        )
    return f"{there.rstrip()}\n\n{block}\n"


def _wrapped(text):
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _command_lines(command):
    """The command as lines for a shell, broken between its arguments."""
    lines = [""]
    for argument in map(shlex.quote, command):
        if lines[-1] and len(lines[-1]) + len(argument) > _WIDTH - 3:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {argument}" if lines[-1] else argument
    return lines


def _table(headings, rows):
    yield f"| | {' | '.join(headings)} |"
    yield "|---" * (len(headings) + 1) + "|"
    yield from (f"| `{name}` | {' | '.join(cells)} |" for name, cells in rows.items())


def _cell(values, decimals):
    average = f"{statistics.mean(values):.{decimals}f}"
    return f"{average} ± {statistics.stdev(values):.{decimals}f}" if values[1:] else average
