"""Puts motions into the page: the scene as a GLB file, the curves as JSON, and the video."""

import base64
import dataclasses
import functools
import html
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

import hpof_jax
from hpof_jax.atomic import replacing
from hpof_jax.body import load_body
from hpof_jax.body.joint_angles import joint_angles
from hpof_jax.body.model import BodyModel
from hpof_jax.export import glb
from hpof_jax.export.skeleton import Y_UP, camera_to_y_up
from hpof_jax.export.viewer.video import encode
from hpof_jax.motion import CONFIDENT
from hpof_jax.palette import PEOPLE
from hpof_jax.world import WorldMotion, to_world

if TYPE_CHECKING:
    from hpof_jax.motion import Motion

MAX_BYTES = 8_000_000  # of a page without its video; longer motions lose frames
NOTEBOOK_BYTES = 3_000_000  # of a page in a notebook, whose file keeps it
TEMPLATE = pathlib.Path(hpof_jax.__file__).parent / "assets" / "viewer.html"

# What a reconstruction of everybody calls its motions; the number is that in the overlay, from 1.
_NUMBERED = re.compile("motion_([1-9][0-9]{0,3})")
_MARK = re.compile("<!--hpof:([a-z]+)-->")  # what `contents` fills in


def write(
    path: str | os.PathLike,
    people: Mapping[str, WorldMotion],
    body: BodyModel,
    video: str | os.PathLike | None = None,
) -> None:
    """Writes people of one world, by name, as one page.

    Args:
      people: at least one. Time 0 of the page is the first frame of the earliest of them. `motion_2` is shown as
        person 2, in the colour that the overlay gives it; other people get the colours in their order.
      video: the video that the motions were made from; it is shown beside the bodies.

    Raises:
      UserError: the page cannot be written, or the video cannot be read or is another one.
    """
    page = contents(people, body, video)
    with replacing(path, "The page") as partial:
        partial.write_text(page, encoding="utf-8")


def contents(
    people: Mapping[str, WorldMotion],
    body: BodyModel,
    video: str | os.PathLike | None = None,
    max_bytes: int = MAX_BYTES,
) -> str:
    """The text of the page that `write` writes.

    Args:
      max_bytes: without the video. If the page would be larger, only every n-th frame is kept.
    """
    first = next(iter(people.values()))
    start = min(motion.times[0] for motion in people.values())
    end = max(motion.times[-1] for motion in people.values())
    movie = None if video is None else encode(video, start, end, first.image_size)
    parts, step = _parts(people, body, 1), 1
    if (size := _size(parts)) > max_bytes:
        least = _size(_parts(people, body, max(map(len, people.values()))))
        step = -(-(size - least) // max(max_bytes - least, 1))
        parts = _parts(people, body, step)
    if movie is not None:
        parts["data"]["video"] = {"start": 0.0}
        parts["video"] = base64.b64encode(movie).decode()
    parts["data"] = _json(parts["data"])
    return _MARK.sub(lambda match: parts[match[1]], _template())


def iframe(motion: "Motion") -> str | None:
    """The page as an HTML element for notebooks; None if the motion has no frame or is not of the free body."""
    body = load_body()
    if not len(motion) or motion.body != body.name:
        return None
    page = contents({"motion": to_world(motion, body)}, body, max_bytes=NOTEBOOK_BYTES)
    style = "width: 100%; height: 640px; border: 1px solid #dde2e9"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(page)}"></iframe>'


def _parts(people: Mapping[str, WorldMotion], body: BodyModel, step: int) -> dict:
    """What stands in the template's places, with every `step`-th frame."""
    people = {name: _thin(motion, step) for name, motion in people.items()}
    shown = [_shown(name, place) for place, name in enumerate(people)]
    title = ", ".join(name for name, _ in shown)
    start = min(motion.times[0] for motion in people.values())
    first = next(iter(people.values()))
    data = {
        "title": title,
        "duration": _round(max(motion.times[-1] for motion in people.values()) - start, 4),
        "fps": _round(first.fps, 3),
        "step": step,
        "confident": CONFIDENT,
        "camera": _camera(first, start),
        "people": [
            _person(*look, motion, start) for look, motion in zip(shown, people.values(), strict=True)
        ],
        "video": None,
    }
    binary = base64.b64encode(glb.contents(people, body)).decode()
    return {"title": html.escape(title), "data": data, "glb": binary, "video": ""}


def _thin(motion: WorldMotion, step: int) -> WorldMotion:
    if step == 1:
        return motion
    rows = slice(None, None, step)
    names = ["global_orient", "body_pose", "transl", "joints", "times", "confidence"]
    names += ["world_to_camera"] if motion.world_to_camera.ndim == 3 else []
    return dataclasses.replace(motion, **{name: getattr(motion, name)[rows] for name in names})


def _shown(name: str, place: int) -> tuple[str, str]:
    """The name of a person in the page, and the colour in hexadecimal digits; `place` is its place in the list."""
    if match := _NUMBERED.fullmatch(name):
        name, place = f"person {match[1]}", int(match[1]) - 1
    return name, "#" + bytes(PEOPLE[place % len(PEOPLE)]).hex()


def _person(name: str, color: str, motion: WorldMotion, start: float) -> dict:
    """The curves of one person. Times are in seconds from `start`, angles in degrees, the path in metres, y up."""
    return {
        "name": name,
        "color": color,
        "times": _round(motion.times - start, 4),
        "confidence": _round(motion.confidence, 2),
        "guesses": _guesses(motion, start),
        "path": _round(motion.joints[:, 0] @ Y_UP.T, 3),
        "angles": _angles(motion),
    }


def _guesses(motion: WorldMotion, start: float) -> list[list[float]]:
    """[from, to] in seconds of the stretches whose confidence is too low; each frame lasts half-way to the next."""
    middles = (motion.times[1:] + motion.times[:-1]) / 2
    edges = np.concatenate([motion.times[:1], middles, motion.times[-1:]]) - start
    low = np.concatenate([[False], motion.confidence <= CONFIDENT, [False]]).astype(int)
    begins, ends = np.flatnonzero(np.diff(low) == 1), np.flatnonzero(np.diff(low) == -1)
    return _round(np.column_stack([edges[begins], edges[ends]]), 3)


def _angles(motion: WorldMotion) -> list[dict]:
    """The joint angles in degrees, by name; those of the limbs with a curve for each side."""
    angles = {}
    for name, values in joint_angles(motion.pose).items():
        side = {"_l": "left", "_r": "right"}.get(name[-2:], "middle")
        name = name if side == "middle" else name[:-2]
        angles.setdefault(name, {})[side] = _round(values, 1)
    return [{"name": name.replace("_", " "), **sides} for name, sides in angles.items()]


def _camera(motion: WorldMotion, start: float) -> dict:
    """The video's camera: intrinsics, and its place in each frame, or once if it stands still.

    The matrices (4, 4) go from a camera that looks along -z, with y up, to the world; they lie column by column.
    """
    height, width = motion.image_size.tolist()
    matrices = camera_to_y_up(motion).reshape(-1, 4, 4)
    return {
        "yfov": 2 * float(np.arctan(height / 2 / motion.focal_length)),
        "aspect": width / height,
        "times": _round(motion.times - start, 4) if len(matrices) > 1 else [0.0],
        "matrices": _round(np.swapaxes(matrices, 1, 2).reshape(-1, 16), 6),
    }


def _size(parts: dict) -> int:
    return len(parts["glb"]) + len(_json(parts["data"])) + len(_template())


def _json(data: dict) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _round(values, decimals: int):
    return np.round(np.asarray(values, np.float64), decimals).tolist()


@functools.cache
def _template() -> str:
    return TEMPLATE.read_text(encoding="utf-8")
