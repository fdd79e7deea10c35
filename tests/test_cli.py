import logging
import pathlib
import sys

import absl.logging
import pytest

from hpof_jax import cli
from hpof_jax.errors import UserError


def run(main):
    """The exit status of an entry point; None where it returns."""
    try:
        return cli.entry_point(main)()
    except SystemExit as end:
        return end.code


@pytest.fixture
def absl_to_stderr(monkeypatch, capsys):
    """absl's handler writes where the test reads."""
    handler = absl.logging.get_absl_handler().python_handler
    monkeypatch.setattr(handler, "stream", sys.stderr)


def test_what_runs_well_ends_well(capsys):
    assert run(lambda: print("done")) is None
    assert capsys.readouterr().out == "done\n"


def test_a_user_error_is_its_sentence_on_one_line(capsys):
    def main():
        raise UserError("There is no file\n  a.mp4: give another.")

    assert run(main) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: There is no file a.mp4: give another.\n"
    assert captured.out == ""


def test_ctrl_c_is_no_traceback(capsys):
    def main():
        raise KeyboardInterrupt

    assert run(main) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_defect_stays_a_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.entry_point(main)()


def test_an_exit_status_is_kept():
    assert run(lambda: sys.exit(143)) == 143


def test_only_our_own_lines_and_others_warnings_are_logged(capsys, absl_to_stderr):
    package = pathlib.Path(cli.__file__).parent

    def main():
        for name, path in (
            ("ours", package / "train.py"),
            ("data", package.parent / "data_pipelines" / "stream.py"),
            ("orbax", package.parent / ".venv" / "orbax" / "manager.py"),
        ):
            for level in (logging.INFO, logging.WARNING):
                record = logging.LogRecord("absl", level, str(path), 1, f"{name} {level}", (), None)
                absl.logging.get_absl_logger().handle(record)

    assert run(main) is None
    lines = capsys.readouterr().err
    for word in ("ours 20", "ours 30", "data 20", "data 30", "orbax 30"):
        assert word in lines
    assert "orbax 20" not in lines
