"""Random looks of a rendered person: skin, face, hair and clothes, as a texture and an offset of each vertex.

In the rest pose, a T, no part of the body hides another from the front or from the back. So the texture is
two pictures, one of each side. A garment is a region of these pictures with a fabric and a distance from the
skin.
"""

import colorsys
import dataclasses
import functools

import cv2
import numpy as np

from hpof_jax.body.files import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS, SMPL_JOINTS

RESOLUTION = 320  # pixels of the pictures per metre
MARGIN = 0.03  # metres around the body
BLEED = 6  # texels painted around the body, so that interpolation at its edge meets no blank texel


@dataclasses.dataclass(frozen=True)
class TexturedBody:
    """The free body with texture coordinates, cut into a front and a back. P points, F faces, N texels.

    It is the same for all looks.
    """

    vertex: np.ndarray  # (P,) the body's vertex at each point; a vertex on the cut has two points
    faces: np.ndarray  # (F, 3) int32 indices of points, counter-clockwise seen from outside
    texel: np.ndarray  # (P, 2) float32 [x, y] of each point in the atlas, pixels
    size: tuple[int, int]  # (h, w) of the picture of one side
    row: np.ndarray  # (N,) rows of the painted texels in either picture: the body and BLEED texels around it
    column: np.ndarray  # (N,) their columns
    x: np.ndarray  # (N,) float32 metres from the middle of the body, to either side
    y: np.ndarray  # (N,) float32 metres, up
    face: dict[str, np.ndarray]  # BlazePose's landmarks of the head in the rest pose, (3,) metres
    joints: dict[str, np.ndarray]  # the body's joints in the rest pose, (3,) metres


@dataclasses.dataclass(frozen=True)
class Look:
    """One person's appearance."""

    atlas: np.ndarray  # (h, 2 w, 3) uint8 RGB: the texture of the front, and to its right that of the back
    offset: np.ndarray  # (6890,) float32 metres between the skin and the clothes or hair over it


@functools.cache
def textured_body() -> TexturedBody:
    """The free body with its texture coordinates."""
    body = load_body()
    points, faces = np.asarray(body.v_template, np.float64), np.asarray(body.faces)
    corners = points[faces]
    behind = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] < 0
    key, index = np.unique(faces + len(points) * behind[:, None], return_inverse=True)
    vertex, side = key % len(points), key // len(points)
    half = np.abs(points[:, 0]).max() + MARGIN
    low, high = points[:, 1].min() - MARGIN, points[:, 1].max() + MARGIN
    width, height = (int(np.ceil(size * RESOLUTION)) for size in (2 * half, high - low))
    texel = (points[vertex, :2] * (1, -1) + (half, high)) * RESOLUTION - 0.5
    texel[:, 0] += side * width
    faces = index.reshape(-1, 3).astype(np.int32)
    covered = np.zeros((height, width), np.uint8)
    for triangle in np.rint(texel[faces[~behind]]).astype(np.int32):
        cv2.fillConvexPoly(covered, triangle, 1)
    row, column = np.nonzero(cv2.dilate(covered, None, iterations=BLEED))
    landmarks = np.asarray(body.landmark_regressor, np.float64) @ points
    return TexturedBody(
        vertex=vertex,
        faces=faces,
        texel=texel.astype(np.float32),
        size=(height, width),
        row=row,
        column=column,
        x=np.abs((column + 0.5) / RESOLUTION - half).astype(np.float32),
        y=(high - (row + 0.5) / RESOLUTION).astype(np.float32),
        face=dict(zip(BLAZEPOSE_LANDMARKS[:11], landmarks)),
        joints=dict(zip(SMPL_JOINTS, np.asarray(body.J_template))),
    )


def draw_look(rng: np.random.Generator) -> Look:
    """The look of a random person."""
    return _Painter(rng, textured_body()).dress()


class _Painter:
    """Paints the texels of the two pictures, (2, N), front and back, one region over the other."""

    def __init__(self, rng: np.random.Generator, body: TexturedBody):
        self._rng, self._body = rng, body
        self._x, self._y = body.x[None], body.y[None]
        self._front = np.array([[True], [False]])
        self._at = {name.removeprefix("left_"): np.abs(place) for name, place in body.joints.items()}
        self._level = {name.removeprefix("left_"): place[1] for name, place in body.joints.items()}
        self._picture = np.empty((2, *body.x.shape, 3), np.float32)
        self._offset = np.zeros((2, *body.x.shape), np.float32)

    def dress(self) -> Look:
        rng = self._rng
        self._skin()
        bottom, top = self._fabric(), self._fabric()
        if rng.random() < 0.12:
            bottom = top  # overalls and tracksuits
        tucked = rng.random() < 0.3
        for garment, fabric in ((self._top, top), (self._bottom, bottom))[:: 1 if tucked else -1]:
            garment(fabric)
        self._feet()
        if rng.random() < 0.05:
            self._paint(self._x > self._at["wrist"][0] + 0.01, self._fabric(), 0.004)
        self._head()
        return self._finish()

    def _skin(self):
        tone = self._rng.beta(1.2, 1.5)
        light, dark = np.array([238, 200, 175.0]), np.array([75, 48, 36.0])
        self._tone = (light + (dark - light) * tone) * self._rng.uniform(0.93, 1.07, 3)
        self._picture[:] = self._tone
        palms = (self._x > self._at["wrist"][0]) | (self._y < self._level["ankle"])
        self._paint(palms, self._tone * (1.08, 0.96, 0.94), 0.0)

    def _top(self, fabric):
        rng, x, y = self._rng, self._x, self._y
        shoulder, elbow, wrist = (self._at[name][0] for name in ("shoulder", "elbow", "wrist"))
        sleeve = rng.choice(
            [
                rng.uniform(0.14, shoulder),
                rng.uniform(shoulder + 0.06, elbow),
                wrist + rng.uniform(-0.15, 0.02),
            ],
            p=[0.15, 0.45, 0.4],
        )
        hem = self._level["pelvis"] + rng.choice(
            [rng.uniform(-0.1, 0.05), rng.uniform(-0.3, -0.1)], p=[0.75, 0.25]
        )
        neck = self._level["neck"]
        depth = np.where(self._front, rng.exponential(0.03), 0.01)
        collar = neck + rng.uniform(-0.02, 0.02) - depth * np.exp(-((x / rng.uniform(0.04, 0.09)) ** 2))
        inside = (x < sleeve) & (y > hem) & ((y < collar) | (x > 0.12))
        loose = rng.gamma(2.0, 0.006)
        hang = np.clip((self._level["shoulder"] - y) / 0.3, 0, 1) + np.clip((x - shoulder) / 0.15, 0, 1)
        self._paint(inside, fabric, 0.003 + loose * hang)
        if rng.random() < 0.35:  # a print on the chest
            self._print(shoulder)
        if rng.random() < 0.3:  # cuffs, a zip and a collar in another colour
            trim = (x > sleeve - 0.03) | ((x < 0.008) & self._front) | (y > collar - 0.02) & (x < 0.12)
            self._paint(inside & trim, self._cloth_colour(), None)

    def _print(self, shoulder):
        rng = self._rng
        across, down = rng.uniform(0.05, shoulder - 0.03), rng.uniform(0.03, 0.13)
        centre = self._level["shoulder"] - rng.uniform(0.07, 0.2)
        u, v = self._x / across, (self._y - centre) / down
        shape = (u**2 + v**2 < 1) if rng.random() < 0.4 else (u < 1) & (np.abs(v) < 1)
        self._paint(shape & (self._front | (rng.random() < 0.3)), self._fabric(), None)

    def _bottom(self, fabric):
        rng, x, y = self._rng, self._x, self._y
        waist = self._level["pelvis"] + rng.uniform(0.0, 0.12)
        hip, knee, ankle = (self._level[name] for name in ("hip", "knee", "ankle"))
        end = rng.choice(
            [
                rng.uniform(ankle - 0.03, ankle + 0.04),
                rng.uniform(knee - 0.25, knee + 0.05),
                rng.uniform(knee + 0.05, hip - 0.08),
            ],
            p=[0.68, 0.12, 0.2],
        )
        inside = (y < waist) & (y > end) & (x < 0.3)
        loose = rng.gamma(1.6, 0.007)
        taper = np.clip((hip + 0.05 - y) / 0.25, 0, 1)
        self._paint(inside, fabric, 0.003 + loose * taper)
        if rng.random() < 0.4:  # a belt
            self._paint(inside & (y > waist - 0.035), self._cloth_colour(), None)

    def _feet(self):
        rng, y = self._rng, self._y
        if rng.random() < 0.08:
            return
        ankle, sole = self._level["ankle"], self._level["foot"]
        if rng.random() < 0.6:
            bare = (y < ankle + rng.uniform(0.0, 0.2)) & (self._offset == 0)
            self._paint(bare, self._cloth_colour(), 0.003)
        boot = ankle + rng.choice([-0.02, 0.02, rng.uniform(0.05, 0.25)], p=[0.5, 0.35, 0.15])
        self._paint(
            (y < boot) & ((y < ankle) | (self._offset < 0.01)),
            self._fabric(plain=True),
            rng.uniform(0.006, 0.014),
        )
        if rng.random() < 0.5:
            self._paint(y < sole - rng.uniform(0.0, 0.01), self._cloth_colour(), None)

    def _head(self):
        rng, x, y, face = self._rng, self._x, self._y, self._body.face
        eye, mouth, ear = face["left_eye"], (face["left_mouth"] + face["right_mouth"]) / 2, face["left_ear"]
        tone, dark = self._tone, self._tone * rng.uniform(0.2, 0.5)

        def oval(centre, across, down):
            return ((x - centre[0]) / across) ** 2 + ((y - centre[1]) / down) ** 2 < 1

        hair = _rgb(
            rng.uniform(0.02, 0.12),
            rng.uniform(0.0, 0.75),
            rng.choice([rng.uniform(0.06, 0.35), rng.uniform(0.3, 0.9)], p=[0.75, 0.25]),
        )
        on_front = [
            (oval(eye, 0.017, 0.007), np.array([225, 222, 218.0])),
            (oval(eye, 0.0065, 0.0075), _rgb(rng.uniform(0, 0.6), 0.5, rng.uniform(0.1, 0.35))),
            (oval(eye + (0, 0.022, 0), 0.02, rng.uniform(0.003, 0.006)), hair * 0.7),
            (
                oval(mouth, 0.026, rng.uniform(0.006, 0.01)),
                tone * (0.85, 0.6, 0.6) + (rng.uniform(0, 60), 0, 0),
            ),
            (oval(face["nose"] + (0.008, -0.012, 0), 0.004, 0.003), tone * 0.5),
        ]
        if rng.random() < 0.25:  # a beard
            beard = (y < mouth[1] + 0.018) & (y > mouth[1] - 0.07) & (x < 0.075) & ~oval(mouth, 0.026, 0.007)
            share = rng.uniform(0.3, 0.95)
            on_front.insert(0, (beard, tone * (1 - share) + hair * share))
        if rng.random() < 0.2:  # glasses
            rim = oval(eye, 0.027, 0.021) & ~oval(eye, 0.023, 0.017) | (np.abs(y - eye[1]) < 0.003) & (
                x < 0.075
            )
            on_front.append((rim, dark))
        for region, colour in on_front:
            self._paint(region & self._front & (y > self._level["neck"]), colour, None)
        bald, cap = rng.random() < 0.08, rng.random() < 0.12
        if not bald:
            line = eye[1] + rng.uniform(0.045, 0.075) - np.clip(x - 0.03, 0, None) * rng.uniform(0, 1.2)
            length = rng.choice(
                [ear[1] - rng.uniform(0.02, 0.06), self._level["neck"] + rng.uniform(-0.12, 0.03)],
                p=[0.65, 0.35],
            )
            sides = (x > rng.uniform(0.068, 0.078)) & (y > length)
            nape = (y > length) & (x < 0.1)
            region = np.where(self._front, (y > line) | sides & (y > ear[1] - 0.1), nape) & (x < 0.11)
            streaks = 1 + rng.uniform(0.05, 0.25) * np.sin(x * rng.uniform(200, 600) + 9 * self._blobs(12))
            self._paint(
                region & (y > self._level["spine3"]), hair * streaks[..., None], rng.uniform(0.004, 0.03)
            )
        if cap:
            low = eye[1] + rng.uniform(0.025, 0.05)
            self._paint(
                y > np.where(self._front, low, low - 0.02), self._fabric(plain=True), rng.uniform(0.008, 0.02)
            )

    def _finish(self) -> Look:
        rng, body = self._rng, self._body
        worn = 1 + rng.uniform(0.02, 0.12) * np.stack([self._blobs(10)[0], self._blobs(10)[0]])
        atlas = self._spread(np.clip(self._picture * worn[..., None], 0, 255).astype(np.uint8))
        folds = 1 + rng.uniform(0.1, 0.5) * np.stack(
            [self._blobs(int(rng.integers(15, 50)))[0] for _ in range(2)]
        )
        # Smoothed, because the mesh cannot show a sharp edge between cloth and skin.
        offset = cv2.blur(self._spread(self._offset * np.maximum(folds, 0.2)), (7, 7))
        column, row = np.rint(body.texel).astype(int).T
        count = np.bincount(body.vertex)
        return Look(atlas, (np.bincount(body.vertex, offset[row, column]) / count).astype(np.float32))

    def _spread(self, values):
        """Values of the texels (2, N, ...) -> the two pictures side by side, (h, 2 w, ...)."""
        height, width = self._body.size
        pictures = np.zeros((height, 2 * width, *values.shape[2:]), values.dtype)
        for side in range(2):
            pictures[self._body.row, self._body.column + side * width] = values[side]
        return pictures

    def _blobs(self, size: int) -> np.ndarray:
        """Smooth noise of about unit variance with a period of about `size` texels, (1, N) float32."""
        height, width = self._body.size
        coarse = self._rng.normal(size=(height // size + 2, width // size + 2)).astype(np.float32)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[
            None, self._body.row, self._body.column
        ]

    def _paint(self, region, colour, offset):
        """Paints a region (2, N), or one that broadcasts to it. An offset of None keeps the old offset."""
        region = np.nonzero(np.broadcast_to(region, self._offset.shape))
        self._picture[region] = np.broadcast_to(colour, self._picture.shape)[region]
        if offset is not None:
            self._offset[region] = np.broadcast_to(offset, self._offset.shape)[region]

    def _cloth_colour(self) -> np.ndarray:
        rng = self._rng
        kind = rng.random()
        if kind < 0.35:  # black to white
            return _rgb(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.06, 0.95))
        if kind < 0.5:  # jeans
            return _rgb(rng.uniform(0.56, 0.64), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.65))
        return _rgb(rng.random(), rng.uniform(0.2, 0.95), rng.uniform(0.15, 0.95))

    def _fabric(self, plain: bool = False) -> np.ndarray:
        """Colours of cloth: (3,) if plain, else (1, N, 3) striped, checked, dotted or blotched."""
        rng, x, y = self._rng, self._x, self._y
        ground, other = np.float32(self._cloth_colour()), np.float32(self._cloth_colour())
        kind = (
            "plain"
            if plain
            else rng.choice(
                ["plain", "rings", "stripes", "checks", "dots", "blotches"],
                p=[0.5, 0.15, 0.08, 0.1, 0.05, 0.12],
            )
        )
        if kind == "plain":
            return ground
        period, share = float(np.exp(rng.uniform(np.log(0.02), np.log(0.2)))), rng.uniform(-0.7, 0.7)
        along, across = (np.sin(2 * np.pi / period * (axis + rng.random())) for axis in (y, x))
        if kind == "rings":
            weight = along > share
        elif kind == "stripes":
            weight = across > share
        elif kind == "checks":
            weight = 0.5 * (along > 0) + 0.5 * (across > 0)
        elif kind == "dots":
            weight = along * across > 0.5
        else:
            weight = self._blobs(int(rng.integers(8, 40))) > share
        weight = np.asarray(weight, np.float32)[..., None]
        return ground * (1 - weight) + other * weight


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
