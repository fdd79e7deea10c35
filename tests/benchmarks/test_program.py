import json
import sys

import pytest

from benchmarks.program import print_row, program
from hpof_jax.cli import positive_int
from hpof_jax.errors import UserError


@program("Doubles a number.", lambda parser: parser.add_argument("number", type=positive_int))
def double(options):
    if options.number > 100:
        raise UserError("The number is above 100: give a smaller one.")
    return {"double": 2 * options.number}


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["double", *map(str, arguments)])
    double()


def test_the_report_is_written_as_json(monkeypatch, tmp_path):
    run(monkeypatch, 4, "--json", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == {"double": 8}


def test_a_user_error_is_one_sentence_and_leaves_no_file(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, 101, "--json", tmp_path / "report.json")
    assert capsys.readouterr().err == "error: The number is above 100: give a smaller one.\n"
    assert not list(tmp_path.iterdir())


def test_cells_are_aligned_and_only_floats_have_decimals(capsys):
    print_row("label", ("text", 1234, 1234.56, 0.5), decimals=1, width=8)
    assert capsys.readouterr().out == f"{'label':40}    text   1,234 1,234.6     0.5\n"


def test_numbers_below_one_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, 0)
    assert "0 is not at least 1" in capsys.readouterr().err
