"""What is installed, cached and missing, with probes in place of the real ones."""

import subprocess
import types

import pytest

from hpof_jax import doctor, downloads


def fail(message):
    def probe():
        raise RuntimeError(message)

    return probe


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A machine on which everything is there and nothing is cached."""
    for name in doctor._PROBES:
        monkeypatch.setitem(doctor._PROBES, name, lambda name=name: f"{name} 1.0")
    monkeypatch.setattr(doctor, "_tensorflow", lambda: "2.0")
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    return monkeypatch


def test_a_line_for_everything_and_status_0_if_nothing_is_missing(installed, capsys):
    assert doctor.main() == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "ok       Python               Python 1.0"
    assert len(lines) == len(doctor._PROBES) + 1 + len(downloads.PINNED)
    assert captured.err == ""


def test_what_is_missing_is_named_and_gives_status_1(installed, capsys):
    installed.setitem(doctor._PROBES, "JAX", fail("No module named 'jax'\nand more lines"))
    installed.setitem(doctor._PROBES, "ffmpeg", fail("No ffmpeg exe could be found"))
    assert doctor.main() == 1
    captured = capsys.readouterr()
    assert "missing  JAX                  No module named 'jax'\n" in captured.out
    assert captured.err.strip().startswith("missing: JAX, ffmpeg (")


def test_reconstruction_needs_no_tensorflow(installed):
    installed.setattr(doctor, "_tensorflow", fail("not installed"))
    line = next(line for line in doctor.check() if line.name == "TensorFlow")
    assert line == ("-", "TensorFlow", "not installed")
    assert doctor.main() == 0


def test_a_package_that_breaks_at_its_import_is_a_line(installed):
    installed.undo()
    installed.setattr(doctor.importlib, "import_module", fail("libGL.so.1: cannot open shared object file"))
    assert doctor._guarded("OpenCV", doctor._PROBES["OpenCV"]).state == "missing"


def test_ffmpeg_is_run(installed):
    def run(command, **options):
        return types.SimpleNamespace(stdout="ffmpeg version 7.0 Copyright")

    def break_down(command, **options):
        raise subprocess.CalledProcessError(1, command)

    installed.undo()
    installed.setattr(subprocess, "run", run)
    assert doctor._guarded("ffmpeg", doctor._PROBES["ffmpeg"]).detail.startswith("7.0, ")
    installed.setattr(subprocess, "run", break_down)
    assert doctor._guarded("ffmpeg", doctor._PROBES["ffmpeg"]).state == "missing"


def test_a_full_disk_is_missing(installed):
    installed.undo()
    installed.setattr(doctor.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=0.2e9))
    line = doctor._guarded("cache and disk", doctor._PROBES["cache and disk"])
    assert line.state == "missing" and line.detail.startswith("0.2 GB free, 1 GB needed")


def test_files_that_are_cached_and_those_that_are_not(installed):
    name = "sample_video"
    pinned = downloads.PINNED[name]
    path = downloads._target(pinned.package, next(iter(pinned.sha256)))
    lines = {line.name: line for line in doctor.check()}
    assert lines[name].state == "-" and f"python -m hpof_jax.downloads {name}" in lines[name].detail
    path.parent.mkdir(parents=True)
    path.touch()
    lines = {line.name: line for line in doctor.check()}
    assert lines[name].state == "ok" and lines[name].detail.startswith("cached (BSD-3-Clause")
