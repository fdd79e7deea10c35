"""Draws the picture of one frame of an overlay: its panels, the bodies and the labels."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hpof_jax import palette
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.geometry import zbuffer
from hpof_jax.motion import CONFIDENT, Motion
from hpof_jax.visualize import draw
from hpof_jax.visualize.video import even, resize

BACKGROUND = (244, 244, 246)
SIDE_EXTENT = 2.3  # metres from the top to the bottom of the side view, at the pelvis
SIDE_DISTANCE = 6.0  # metres from the side view's camera to the pelvis
SIDE_ASPECT = 0.7  # width of the side view over its height
SIDE_MARGIN = 0.3  # metres around several people
DIMMED = 0.45  # brightness of the frame behind flow
FASTEST = 95  # percentile of the joints' speeds that gets the full colour
HEAD = SMPL_JOINTS.index("head")
HEAD_ROOM = 3.0  # heights of its number between a head's joint and the top of the number


@dataclasses.dataclass(frozen=True)
class Posed:
    """The body of one person in one frame."""

    vertices: np.ndarray  # (V, 3) metres, camera frame
    moved: np.ndarray  # (V, 3) in the next frame
    joints: np.ndarray  # (24, 3)
    trusted: bool  # the confidence is high enough
    time: float  # seconds of the video
    number: int  # of the person, from 0

    @property
    def color(self) -> tuple[int, int, int]:
        return palette.PEOPLE[self.number % len(palette.PEOPLE)] if self.trusted else palette.UNSEEN


@dataclasses.dataclass(frozen=True)
class Painter:
    """Draws the picture of one frame; it has no state, so threads may share it."""

    style: str
    beside: bool
    side_view: bool
    labels: bool
    faces: np.ndarray
    height: int  # of the picture, pixels
    width: int  # of the frame, pixels
    focal_length: float  # pixels of the picture
    fastest: float  # pixels of the picture per frame that get the full colour of flow
    to_frame: float  # pixels of the video for each pixel of the picture
    several: bool  # whether there are several people, who get numbers
    # What the side view's camera looks at, and its distance; None: it follows the pelvis.
    side_camera: tuple[np.ndarray, float] | None

    @property
    def side_width(self) -> int:
        return even(SIDE_ASPECT * self.height) if self.side_view else 0

    @property
    def total_width(self) -> int:
        return self.width * (1 + self.beside) + self.side_width

    def __call__(self, index: int, frame: np.ndarray, bodies: list[Posed]) -> tuple[int, np.ndarray]:
        frame = resize(frame, self.height, self.width)
        panels = {"video": frame} if self.beside else {}
        panels[self._title(bodies)] = self._overlay(frame, bodies)
        if self.side_view:
            panels["from the side"] = self._from_the_side(bodies)
        picture = np.concatenate([*panels.values()], axis=1)
        if self.labels:
            self._label(picture, panels, index, bodies)
        return index, picture

    def _title(self, bodies: list[Posed]) -> str:
        if not bodies:
            return "no body"
        return self.style if any(posed.trusted for posed in bodies) else f"{self.style}, not to be trusted"

    def _overlay(self, frame: np.ndarray, bodies: list[Posed]) -> np.ndarray:
        if self.style == "flow" and bodies:
            frame = (frame * np.float32(DIMMED)).astype(np.uint8)
        for posed in bodies:
            frame = self._over(frame, posed)
        for posed in bodies if self.several and self.labels else ():
            self._tag(frame, posed.joints, posed.number, self.focal_length)
        return frame

    def _over(self, frame: np.ndarray, posed: Posed) -> np.ndarray:
        body = posed.vertices, self.faces, self.focal_length
        match self.style:
            case "mesh":
                return draw.render_mesh(frame, *body, posed.color, 0.9 if posed.trusted else 0.5)
            case "silhouette":
                return draw.render_silhouette(frame, *body, posed.color)
            case "skeleton":
                return draw.render_skeleton(frame, posed.joints, self.focal_length, posed.trusted)
            case "flow":
                before, after = (
                    zbuffer.project(points, self.focal_length, frame.shape[:2])
                    for points in (posed.vertices, posed.moved)
                )
                flow = np.nan_to_num(after - before)
                return draw.render_colors(frame, *body, draw.flow_colors(flow, self.fastest))

    def _tag(self, picture: np.ndarray, joints: np.ndarray, number: int, focal_length: float) -> None:
        """Writes the person's number above the head into the picture."""
        x, y = zbuffer.project(joints[HEAD : HEAD + 1], focal_length, picture.shape[:2])[0]
        tag = draw.label(f"{number + 1}", max(12, round(self.height / 28)))
        if not np.isfinite([x, y]).all():
            return
        left = round(np.clip(x - tag.shape[1] / 2, 0, picture.shape[1] - tag.shape[1]))
        top = round(np.clip(y - HEAD_ROOM * tag.shape[0], 0, picture.shape[0] - tag.shape[0]))
        draw.paste(picture, tag, left, top)

    def _from_the_side(self, bodies: list[Posed]) -> np.ndarray:
        canvas = np.full((self.height, self.side_width, 3), BACKGROUND, np.uint8)
        if not bodies:
            return canvas
        focal_length = self.height * SIDE_DISTANCE / SIDE_EXTENT
        middle, distance = self.side_camera or (bodies[0].joints[0], SIDE_DISTANCE)

        def turned(points: np.ndarray) -> np.ndarray:
            x, y, z = (points - middle).T
            return np.stack([z, y, distance - x], axis=-1)

        # The farthest from this side is drawn first.
        bodies = sorted(bodies, key=lambda posed: posed.joints[0, 0])
        for posed in bodies:
            vertices = turned(posed.vertices)
            if self.style == "skeleton":
                canvas = draw.render_skeleton(canvas, turned(posed.joints), focal_length, posed.trusted)
            elif self.style == "silhouette":
                canvas = draw.render_silhouette(canvas, vertices, self.faces, focal_length, posed.color)
            else:
                alpha = 0.9 if posed.trusted else 0.5
                canvas = draw.render_mesh(canvas, vertices, self.faces, focal_length, posed.color, alpha)
        for posed in bodies if self.several and self.labels else ():
            self._tag(canvas, turned(posed.joints), posed.number, focal_length)
        return canvas

    def _label(self, picture: np.ndarray, panels: dict, index: int, bodies: list[Posed]) -> None:
        letters, left = max(12, round(self.height / 28)), 0
        for name, panel in panels.items():
            draw.paste(picture, draw.label(name, letters), left + letters // 2, letters // 2)
            left += panel.shape[1]
        when = f"frame {index}" + (f", {bodies[0].time:.2f} s" if bodies else "")
        when = draw.label(when, letters)
        draw.paste(picture, when, letters // 2, self.height - when.shape[0] - letters // 2)
        if self.style == "flow":
            wheel = draw.flow_wheel(4 * letters)
            rim = draw.label(f"rim: {self.fastest * self.to_frame:.0f} px/frame", letters)
            right = self.width * (1 + self.beside) - letters // 2
            bottom = self.height - letters // 2
            draw.paste(picture, rim, right - rim.shape[1], bottom - rim.shape[0])
            bottom -= rim.shape[0] + letters // 4
            draw.paste(picture, wheel, right - wheel.shape[1], bottom - wheel.shape[0])


def side_camera(motions: Sequence[Motion]) -> tuple[np.ndarray, float]:
    """The middle (3,) of several people, metres, and a distance from which the side view shows them all."""
    joints = np.concatenate(
        [motion.joints[motion.confidence >= CONFIDENT].reshape(-1, 3) for motion in motions]
    )
    if not len(joints):
        joints = np.concatenate([motion.joints.reshape(-1, 3) for motion in motions])
    low, high = np.percentile(joints, (1, 99), axis=0)
    width, height, depth = high - low + 2 * SIDE_MARGIN
    extent = max(SIDE_EXTENT, height, depth / SIDE_ASPECT)
    # The nearest person is half the width nearer than the middle.
    return (low + high) / 2, SIDE_DISTANCE * extent / SIDE_EXTENT + width / 2


def fastest(motion: Motion) -> float:
    """Nearly the highest speed of a joint in the picture, pixels of the video per frame; at least 1."""
    pixels = motion.joints[..., :2] / np.maximum(motion.joints[..., 2:], zbuffer.NEAR) * motion.focal_length
    speed = np.linalg.norm(np.diff(pixels, axis=0), axis=-1)
    return max(float(np.percentile(speed, FASTEST)), 1.0) if speed.size else 1.0
