"""What several trainings have found, side by side: tables, a plot, and the Markdown file around them.

`results` is everywhere variant -> one {"domains": {source: metrics as of `evaluate.evaluate`}} for each seed.
"""

import os
import pathlib
import statistics
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

Results = Mapping[str, Sequence[Mapping]]


def write(
    path: pathlib.Path,
    preface: Sequence[str],
    results: Results,
    sources: Mapping[str, float],
    columns: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes the file, and its plot beside it as a PNG; what stands in the file outside the marks is kept.

    Args:
      sources: those of the training, whose names say whether a domain was learned from with labels.
      columns: further columns, heading -> variant -> a number.

    Raises:
      UserError: as of `merged`.
    """
    picture = path.with_suffix(".png")
    block = "\n".join(
        [*preface, *tables(results, sources, columns), f"![Mean and standard deviation over the seeds]({picture.name})"]
    )  # fmt: skip
    text = merged(path, block, [*results])
    with replacing(picture, "The plots") as partial:
        plot(results, partial)
    with replacing(path, "The report") as partial:
        partial.write_text(text, encoding="utf-8")


def tables(
    results: Results, sources: Mapping[str, float], columns: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    """The lines of one table a domain."""
    for source, first in next(iter(results.values()))[0]["domains"].items():
        ways = [
            way for way, spec in (("with", source), ("without", f"unlabelled:{source}")) if spec in sources
        ]
        yield f"\n### `{source}`, learned from {' and '.join(ways)} labels\n"
        yield f"{first['clips']:.0f} clips, {first['frames']:,.0f} frames.\n"
        yield "| | " + " | ".join([*(head for head, _ in COLUMNS.values()), *columns]) + " |"
        yield "|---" * (len(COLUMNS) + len(columns) + 1) + "|"
        for variant, runs in results.items():
            cells = [
                _cell([run["domains"][source][key] for run in runs], decimals)
                for key, (_, decimals) in COLUMNS.items()
            ]
            cells += [f"{column[variant]:,.0f}" for column in columns.values()]
            yield f"| `{variant}` | " + " | ".join(cells) + " |"
    yield ""


def _cell(values, decimals):
    average = f"{statistics.mean(values):.{decimals}f}"
    return f"{average} ± {statistics.stdev(values):.{decimals}f}" if values[1:] else average


def plot(results: Results, path: pathlib.Path) -> None:
    """A row of plots for each domain: means over the seeds, and standard deviations as bars."""
    from matplotlib.figure import Figure  # mediapy brings it

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
    row[0].invert_yaxis()  # of all, which share it
    figure.savefig(path, dpi=120)


def merged(path: pathlib.Path, text: str, variants: Sequence[str]) -> str:
    """What the file becomes: the text between the marks of what is there, or in a new one with room for words.

    Raises:
      UserError: the file cannot be read or written, or has one mark without the other.
    """
    block = f"{BEGIN}\n\n{text}\n\n{END}"
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} into: make it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise UserError(f"The report cannot be written to {path}: give another --report.")
    if not path.exists():
        places = "\n".join(f"- `{variant}`:" for variant in variants)
        return f"# Ablations\n\n{block}\n\n## What the rows say\n\n{places}\n"
    try:
        there = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): give another --report.") from error
    above, begin, rest = there.partition(BEGIN)
    _, end, below = rest.partition(END)
    if begin and end:
        return above + block + below
    if begin or END in there:
        raise UserError(
            f"One of the two marks of what is written by hpof_jax.ablate is missing in {path}: delete the other."
        )
    return f"{there.rstrip()}\n\n{block}\n"
