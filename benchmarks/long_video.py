"""Reconstructs a long video in a process of its own: the rate and the memory of each stage.

    python -m benchmarks.long_video --json long_video.json
    python -m benchmarks.long_video --minutes 2 --kill -- --no-overlay

The video is the sample at 1920 x 1080, forward and backward again and again, so that it has no cuts. `--kill` kills the
process by SIGKILL when half of the video is observed, and runs it again. Linux only: it reads /proc.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import imageio_ffmpeg

from benchmarks.program import print_row, program
from hpof_jax import downloads

RATE = 30
FINISHED = re.compile(r"\] (?P<stage>[\w ]+): (?P<count>\d+) \w+ in (?P<seconds>[\d.]+) s, (?P<rate>[\d.]+) ")
OBSERVED = re.compile(r"\] observing: (?P<count>\d+) of (?P<total>\d+) ")
EVERY = 0.2  # seconds between two looks at the memory


def make_video(source: pathlib.Path, path: pathlib.Path, seconds: float, size: str = "1920:1080") -> None:
    """Writes a video of the source, forward and backward again and again. No two have the same bytes.

    Otherwise a second benchmark would find the first one's observations in the cache.
    """
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"]
    once = path.with_name(f"once_{path.name}")
    both_ways = f"[0:v]scale={size},split[a][b];[b]reverse[r];[a][r]concat[o]"
    x264 = ("-r", RATE, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
    loop = (
        "-stream_loop",
        -1,
        "-i",
        once,
        "-t",
        seconds,
        "-c",
        "copy",
        "-metadata",
        f"comment={time.time()}",
    )
    for arguments in (
        ("-i", source, "-filter_complex", both_ways, "-map", "[o]", *x264, once),
        (*loop, path),
    ):
        subprocess.run([*ffmpeg, *map(str, arguments)], check=True)
    once.unlink()


def watch(command: list[str], kill_at: float | None = None) -> dict[str, Any]:
    """Runs a program; returns its exit status, its peak memory in MB, and for each stage its rate and its peak.

    Args:
      kill_at: the share of the frames after whose observation it is killed. None: it is not.
    """
    stages: list[dict[str, Any]] = []
    peaks = [0.0]  # one for each stage
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        threading.Thread(target=_look, args=(process, peaks), daemon=True).start()
        for line in process.stderr or ():
            print(line, end="", file=sys.stderr, flush=True)
            if stage := FINISHED.search(line):
                numbers = dict(
                    count=int(stage["count"]), seconds=float(stage["seconds"]), rate=float(stage["rate"])
                )
                stages.append({"stage": stage["stage"], **numbers, "peak_mb": peaks[-1]})
                peaks.append(0.0)
            seen = OBSERVED.search(line)
            if kill_at is not None and seen and int(seen["count"]) >= kill_at * int(seen["total"]):
                process.kill()
    return {"status": process.returncode, "peak_mb": max(peaks), "stages": stages}


def _look(process: subprocess.Popen, peaks: list[float]) -> None:
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        if resident := re.search(r"VmRSS:\s+(\d+) kB", status):
            peaks[-1] = max(peaks[-1], int(resident[1]) / 1024)
        time.sleep(EVERY)


def show(run: dict[str, Any]) -> None:
    """Prints a table of the stages."""
    print_row("", ("number", "seconds", "1/s", "peak, MB"))
    for stage in run["stages"]:
        print_row(stage["stage"], (stage["count"], stage["seconds"], stage["rate"], stage["peak_mb"]))
    print_row(f"status {run['status']}", ("", "", "", run["peak_mb"]))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0, help="of the video (default: %(default)s)")
    parser.add_argument("--kill", action="store_true", help="kill it half-way, and run it again")
    parser.add_argument("options", nargs="*", help="after --: options of hpof_jax.reconstruct")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> list[dict[str, Any]]:
    source = downloads.fetch("sample_video")
    with tempfile.TemporaryDirectory(prefix="long-video-") as folder:
        video = pathlib.Path(folder) / "video.mp4"
        make_video(pathlib.Path(source), video, 60 * options.minutes)
        command = [sys.executable, "-m", "hpof_jax.reconstruct", str(video), "--out", f"{folder}/out"]
        command += options.options
        runs = [watch(command, kill_at) for kill_at in ((0.5, None) if options.kill else (None,))]
    for run in runs:
        show(run)
    return runs


if __name__ == "__main__":
    main()
