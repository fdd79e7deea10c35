"""The functions that read videos and pictures, and what the cache keeps of a video."""

import json
import pathlib
import subprocess
from unittest import mock

import numpy as np

from benchmarks.door import Door
from hpof_jax.observe.blazepose import LANDMARK_SIDE, NUM_LANDMARKS, Pose, Region
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.journal import JournaledBlazePose
from hpof_jax.observe.video import read_video

FRAMES, HEIGHT, WIDTH = 8, 48, 64
_PICTURE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _video(folder: pathlib.Path) -> None:
    import imageio_ffmpeg

    source = f"testsrc=size={WIDTH}x{HEIGHT}:rate=25:duration={FRAMES / 25}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(folder / "clip.mp4")], check=True)


def _open_video(path: pathlib.Path) -> None:
    frames, _ = read_video(path, max_frames=4 * FRAMES)
    for _ in frames:
        pass


def _photographs(folder: pathlib.Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26  # the focal length for 35 mm film
    for number in range(2):
        Image.fromarray(_PICTURE).save(folder / f"{number}.jpg", exif=exif)
        Image.fromarray(_PICTURE).save(folder / f"{number}.png", exif=exif)


def _open_folder(path: pathlib.Path) -> None:
    for other in path.parent.iterdir():
        if other.suffix != path.suffix:
            other.unlink()
    _open_video(path.parent)


class _Net:
    """Answers without a network."""

    def detect(self, image, square):
        return [Region(*square, 0.0)]

    def landmarks(self, image, region):
        points = np.zeros((NUM_LANDMARKS, 3), np.float32)
        logits = np.zeros((LANDMARK_SIDE, LANDMARK_SIDE), np.float32)
        return Pose(points, points, 0.9, region, _PICTURE, region.to_frame(), logits)


def _ask(path: pathlib.Path) -> None:
    with JournaledBlazePose(path, _Net) as net:
        for number in range(FRAMES):
            (region,) = net.detect(_PICTURE, (WIDTH / 2, HEIGHT / 2, 40.0 + number))
            net.landmarks(_PICTURE, region)


def _people(folder: pathlib.Path) -> None:
    (folder / "clip.mp4").write_bytes(b"a video")
    (folder / "stored.json").write_text(json.dumps(["people-1.npz", "people-2.npz"]))


def _open_people(path: pathlib.Path) -> None:
    from benchmarks.mutated_doors import _cache, _observations
    from hpof_jax.observe import cache

    def observe(video, **options):
        return [Observations(**_observations())] * 2

    with _cache(path.parent), mock.patch.object(cache, "observe_everybody", observe):
        cache.observe_everybody_cached(path.parent / "clip.mp4")
        (stored,) = (path.parent / "cache" / "observations").glob("*.json")
        text = path.read_bytes().replace(b"people", stored.stem.encode())
        stored.write_bytes(text)
        cache.observe_everybody_cached(path.parent / "clip.mp4")


DOORS = {
    "video": Door("clip.mp4", "bytes", _video, _open_video, programs=("ffmpeg",)),
    "jpeg": Door("0.jpg", "bytes", _photographs, _open_folder),
    "png": Door("0.png", "bytes", _photographs, _open_folder),
    "journal": Door("a.journal", "bytes", lambda folder: _ask(folder / "a.journal"), _ask, must_read=True),
    "people_cache": Door("stored.json", "text", _people, _open_people, must_read=True),
}
