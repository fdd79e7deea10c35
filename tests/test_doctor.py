"""What is installed, cached and missing, with probes in place of the real ones."""

import json
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
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
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


def test_json_for_programs(installed, capsys):
    assert doctor.main(["--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert lines[0] == {"state": "ok", "name": "Python", "detail": "Python 1.0"}
    assert {line["name"] for line in lines} >= {*doctor._PROBES, *downloads.PINNED}


def test_data_in_the_current_folder_and_in_named_ones(installed, capsys, tmp_path):
    for folder in ("here/recordings", "here/empty", "other"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "here/recordings/walk.bvh").write_text("HIERARCHY")
    (tmp_path / "other/walk.mp4").touch()
    data = [line for line in doctor.check() if line.name == "data"]
    assert data == [("ok", "data", "recordings: BVH files: 1")]
    assert doctor.main([str(tmp_path / "other"), "empty", "nowhere"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "data  " in line]
    assert [line.split()[0] for line in lines] == ["ok", "problem", "problem", "problem"]
    assert "other: videos: 1" in lines[0] and "walk.mp4 is empty" in lines[1]
    assert "empty holds no data" in lines[2] and "There is no folder at nowhere" in lines[3]


def test_many_problems_are_counted(installed, tmp_path):
    (tmp_path / "here/recordings").mkdir()
    for number in range(8):
        (tmp_path / f"here/recordings/{number}.bvh").touch()
    data = [line.detail for line in doctor.check() if line.state == "problem"]
    assert len(data) == doctor.MOST_PROBLEMS + 1 and data[-1] == "recordings: 3 more problems of BVH files"


def test_the_machine_and_the_codecs(installed):
    installed.undo()
    assert "cores" in doctor._machine()
    assert doctor._versions().startswith("jaxlib ")
    assert doctor._codecs().startswith("H.264")


def test_a_codec_that_fails(installed):
    installed.undo()
    run = subprocess.run

    def without(encoder):
        return lambda command, **options: None if encoder in command else run(command, **options)

    installed.setattr(subprocess, "run", without("libx265"))
    assert doctor._codecs() == "H.264, VP9 can be read; not HEVC"
    installed.setattr(subprocess, "run", without("libx264"))
    assert doctor._guarded("codecs", doctor._codecs).state == "missing"


def test_a_cache_that_cannot_be_written_is_missing(installed, tmp_path):
    installed.undo()
    installed.setattr(doctor.os, "access", lambda *_: False)
    installed.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    line = doctor._guarded("cache and disk", doctor._disk)
    assert line.state == "missing" and "set HPOF_JAX_CACHE" in line.detail
