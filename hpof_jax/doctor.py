"""Shows what is installed, cached and missing.

    python -m hpof_jax.doctor      # exit status 1 if something is missing that a reconstruction needs

Each check has its own imports, so a broken package costs only its line of the table.
"""

import importlib
import pathlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

MINIMUM_FREE_GB = 1.0


class Line(NamedTuple):
    """A line of the table. `state`: "ok", "missing" if a reconstruction needs it, "-" if it does not."""

    state: str
    name: str
    detail: str


def check() -> list[Line]:
    """The lines of the table; downloads and changes nothing."""
    lines = [_guarded(name, probe) for name, probe in _PROBES.items()]
    lines.append(_guarded("TensorFlow", _tensorflow, otherwise="-"))
    return lines + _third_party_files()


def main() -> int:
    """Prints the table; returns 1 if something is missing that a reconstruction needs, else 0."""
    lines = check()
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


def _python() -> str:
    return f"{platform.python_version()}, {platform.system()} {platform.machine()}"


def _jax() -> str:
    import jax

    devices = jax.devices()
    return f"{jax.__version__}, {len(devices)} x {devices[0].device_kind} ({devices[0].platform})"


def _version(module: str) -> str:
    return importlib.import_module(module).__version__


def _litert() -> str:
    from importlib.metadata import version

    importlib.import_module("ai_edge_litert.interpreter")
    return version("ai-edge-litert")


def _ffmpeg() -> str:
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)
    return f"{done.stdout.split()[2]}, {program}"


def _tensorflow() -> str:
    from importlib import metadata

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
    folder = pathlib.Path(__file__).parent / "assets"
    found = sorted(path.name for path in folder.glob("*.npz") if path.name != "free_body.npz")
    if not found:
        raise RuntimeError(f"no trained weights in {folder}: install hpof_jax again")
    return ", ".join(found)


def _disk() -> str:
    from hpof_jax.downloads import cache_dir

    folder = cache_dir()
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


_PROBES: dict[str, Callable[[], str]] = {
    "Python": _python,
    "JAX": _jax,
    "Flax": lambda: _version("flax"),
    "OpenCV": lambda: _version("cv2"),
    "LiteRT": _litert,
    "mediapy": lambda: _version("mediapy"),
    "ffmpeg": _ffmpeg,
    "free body": _assets,
    "trained weights": _weights,
    "cache and disk": _disk,
}


if __name__ == "__main__":
    sys.exit(main())
