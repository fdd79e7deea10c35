import argparse
import logging
import os
import pathlib
import subprocess
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


@pytest.mark.slow
def test_tensorflow_prints_nothing():
    code = "from hpof_jax import cli\n@cli.entry_point\ndef main():\n    import tensorflow\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


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


COMPILES = """
import jax
from hpof_jax import cli

@cli.entry_point
def main():
    print(jax.jit(lambda x: x + 1)(1))

main()
"""


def compile_with_cache(cache, **environment):
    """The standard error of a program that compiles, without the folder that the tests keep programs in."""
    kept = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    kept |= {"HPOF_JAX_CACHE": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"} | environment
    code = [sys.executable, "-c", COMPILES]
    done = subprocess.run(
        code, cwd=pathlib.Path(cli.__file__).parents[1], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2\n"
    return done.stderr


def test_a_number_of_things_is_at_least_one():
    assert cli.positive_int("3") == 3
    for text, reason in (("0", "0 is not at least 1"), ("1.5", "1.5 is not a whole number")):
        with pytest.raises(argparse.ArgumentTypeError, match=reason):
            cli.positive_int(text)


def test_compiled_programs_are_kept_and_damaged_ones_ignored(tmp_path):
    assert compile_with_cache(tmp_path) == ""
    files = [*(tmp_path / "compiled").iterdir()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    assert compile_with_cache(tmp_path) == ""


def test_a_cache_folder_that_cannot_be_made_stops_nothing(tmp_path):
    (tmp_path / "file").touch()
    assert compile_with_cache(tmp_path / "file") == ""


def test_a_folder_that_the_user_named_is_kept_to(tmp_path):
    compile_with_cache(tmp_path / "cache", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert [*(tmp_path / "own").iterdir()] and not (tmp_path / "cache").exists()


def test_only_what_was_compiled_last_is_removed_when_the_program_stops(tmp_path):
    since = 1000.0
    for name, written in (("old", since - 1), ("new", None)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, written and (written, written))
    cli._remove_newest(tmp_path, since)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
