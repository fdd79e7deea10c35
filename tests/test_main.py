import runpy
import sys

import pytest

from hpof_jax import __main__ as program


def test_a_command_runs_its_module_with_the_remaining_arguments(monkeypatch):
    ran = []
    monkeypatch.setattr(program.interrupt, "install", lambda: None)
    monkeypatch.setattr(runpy, "run_module", lambda name, **options: ran.append((name, sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", ["hpof_jax", "doctor", "--json"])
    assert program.main() == 0
    assert ran == [("hpof_jax.doctor", ["--json"])]


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["dance"], 2), (["--help"], 0)])
def test_without_a_command_there_is_a_list(monkeypatch, capsys, arguments, status):
    monkeypatch.setattr(sys, "argv", ["hpof_jax", *arguments])
    assert program.main() == status
    printed = capsys.readouterr()
    listed = printed.err if status else printed.out
    assert all(f"  {command} " in listed for command in program.COMMANDS)
