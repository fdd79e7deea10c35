"""The pictures of the documentation are made by a script."""

import dataclasses
import pathlib
import re
import runpy

import numpy as np

from hpof_jax.body import load_body

ROOT = pathlib.Path(__file__).parents[1]
pictures = runpy.run_path(str(ROOT / "docs/pictures.py"))


def test_the_strip_shows_frames_above_the_same_frames_with_bodies(small_motion):
    height, width = small_motion.image_size
    motion = dataclasses.replace(small_motion, box=np.tile([width / 2, height / 2, 250], (5, 1)))
    frames = [np.full((height, width, 3), 40 * n, np.uint8) for n in range(2)]
    picture = pictures["strip"](frames, motion, load_body(), [0, 3])
    side = pictures["SIDE"]
    assert picture.shape == (2 * side, 2 * side, 3) and picture.dtype == np.uint8
    above, below = picture[:side], picture[side:]
    assert np.all(above[:, :side] == 0) and np.all(above[:, side:] == 40)
    changed = np.any(above != below, axis=-1)
    assert 0.05 < changed[:, :side].mean() < 0.5 and 0.05 < changed[:, side:].mean() < 0.5


def test_a_square_stays_inside_the_frame():
    for box in ([0, 0, 100], [640, 480, 100], [320, 240, 2000]):
        left, top, side = pictures["_square"](np.array(box, float), np.array([480, 640]))
        assert 0 <= left <= 640 - side and 0 <= top <= 480 - side and side > 0


def test_the_documentation_names_every_picture():
    text = "".join(
        (ROOT / page).read_text(encoding="utf-8")
        for page in ("README.md", "docs/export.md", "docs/free_body.md", "docs/report.md")
    )
    assert {*re.findall(r"images/(\w+)\.(?:jpg|png)", text)} >= {*pictures["NAMES"]}
