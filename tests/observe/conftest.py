"""Made-up video files, as ffmpeg writes them."""

import subprocess

import imageio_ffmpeg
import pytest

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"]
SIZE = "64x48"


def ffmpeg(*arguments):
    subprocess.run([*FFMPEG, *map(str, arguments)], check=True)


def cut_off(path, share=0.6):
    """Leaves only the first part of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """A folder of films: a test picture with a clock, 6 seconds at 30 frames/s.

    whole.mp4; edited.mp4: its last 3.5 seconds, by an edit list; cut.mp4 and cut.avi: cut off after about 3
    seconds; cut_edited.mp4: both; uneven.mp4: 60 frames/s for a second and then 15; damaged.mp4: overwritten
    in the middle.
    """
    folder = tmp_path_factory.mktemp("films")
    source = ("-f", "lavfi", "-i", f"testsrc=size={SIZE}:rate=30", "-t", 6)
    x264 = ("-c:v", "libx264", "-g", 120, "-bf", 2, "-pix_fmt", "yuv420p", "-movflags", "+faststart")
    ffmpeg(*source, *x264, folder / "whole.mp4")
    ffmpeg(
        "-ss", 2.5, "-i", folder / "whole.mp4", "-c", "copy", "-movflags", "+faststart", folder / "edited.mp4"
    )
    for name, of in (("cut.mp4", "whole.mp4"), ("cut_edited.mp4", "edited.mp4")):
        (folder / name).write_bytes((folder / of).read_bytes())
        cut_off(folder / name)
    ffmpeg("-i", folder / "whole.mp4", "-c:v", "mjpeg", folder / "cut.avi")
    cut_off(folder / "cut.avi")
    rates = "select='lt(n,60)+gte(n,60)*not(mod(n,4))'"
    uneven = ("-f", "lavfi", "-i", f"testsrc=size={SIZE}:rate=60", "-t", 4, "-vf", rates, "-fps_mode", "vfr")
    ffmpeg(*uneven, *x264, folder / "uneven.mp4")
    damaged = bytearray((folder / "whole.mp4").read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 3000] = bytes([0x55]) * 3000
    (folder / "damaged.mp4").write_bytes(damaged)
    return folder
