"""Tables of numbers as plain text and as LaTeX."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

NOTHING = "-"  # where there is no number
_SPECIAL = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}


class Column(NamedTuple):
    """What a column is called, and how many decimals its numbers have."""

    label: str
    digits: int = 1


Rows = Mapping[str, Mapping[str, float]]  # name -> key of a column -> number
Intervals = Mapping[str, Mapping[str, Sequence[float]]]  # name -> key -> [low, high]


def text_table(rows: Rows, columns: Mapping[str, Column]) -> str:
    """A row for each name, numbers to the right. Missing numbers and NaN are a dash."""
    width = max(len(name) for name in rows) + 2
    widths = {key: max(len(column.label), 6) + 2 for key, column in columns.items()}
    lines = [" " * width + "".join(f"{column.label:>{widths[key]}}" for key, column in columns.items())]
    for name, row in rows.items():
        numbers = (f"{number(row.get(key), column):>{widths[key]}}" for key, column in columns.items())
        lines.append(f"{name:<{width}}" + "".join(numbers))
    return "\n".join(lines)


def number(value: float | None, column: Column) -> str:
    """A number as a column writes it; a dash for None and NaN."""
    return NOTHING if value is None or value != value else f"{value:.{column.digits}f}"


def latex_table(
    rows: Rows, columns: Mapping[str, Column], intervals: Intervals | None = None, caption: str = ""
) -> str:
    r"""A `table` for LaTeX's package booktabs, with the intervals in brackets behind the numbers."""
    lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"]
    lines += [
        " & ".join(["", *(_escaped(column.label) for column in columns.values())]) + r" \\",
        r"\midrule",
    ]
    for name, row in rows.items():
        cells = [_escaped(name)]
        for key, column in columns.items():
            cell = number(row.get(key), column)
            low, high = (intervals or {}).get(name, {}).get(key, (None, None))
            if number(low, column) != NOTHING:
                cell += rf" {{\scriptsize [{number(low, column)}, {number(high, column)}]}}"
            cells.append(cell)
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\caption{{{_escaped(caption)}}}"] * bool(caption)
    return "\n".join([*lines, r"\end{table}", ""])


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def fit_label(mode: str) -> str:
    """What the name of this package's row says of the test-time fit."""
    return "" if mode == "off" else f", {mode} fit"
