"""For all benchmarks: a command line with `--json FILE`, errors as one sentence, and rows of a table."""

import argparse
import functools
import json
import numbers
import pathlib
from collections.abc import Callable, Iterable

from hpof_jax import cli
from hpof_jax.atomic import replacing


def program(
    doc: str, add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None
) -> Callable[[Callable[[argparse.Namespace], object]], Callable[[], None]]:
    """Decorates a benchmark's `main(options) -> report`.

    The report is what JSON can hold. It is written to the file that `--json` names, complete or not at all.

    Args:
      doc: the module's docstring, shown by `--help`.
      add_options: adds the benchmark's own options to the parser.
    """

    def decorate(main: Callable[[argparse.Namespace], object]) -> Callable[[], None]:
        @cli.entry_point
        @functools.wraps(main)
        def run() -> None:
            parser = argparse.ArgumentParser(
                description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
            )
            add_options(parser)
            parser.add_argument("--json", type=pathlib.Path, help="also write the figures to this file")
            options = parser.parse_args()
            report = main(options)
            if options.json:
                with replacing(options.json, "The report") as partial:
                    partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

        return run

    return decorate


def print_row(label: str, cells: Iterable[object], decimals: int = 1, width: int = 12) -> None:
    """Prints a row of a table: the label, then each cell, right-aligned.

    Args:
      cells: numbers and texts. Whole numbers get no decimals.
      width: of a cell, in characters.
    """

    def text(cell: object) -> str:
        if isinstance(cell, str):
            return cell
        return f"{cell:,d}" if isinstance(cell, numbers.Integral) else f"{cell:,.{decimals}f}"

    print(f"{label:40}" + "".join(f"{text(cell):>{width}}" for cell in cells), flush=True)
