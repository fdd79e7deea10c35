"""A closed room around a camera that moves: each frame is drawn from the camera's own place."""

import cv2
import numpy as np

from data_pipelines.render.backdrop import draw_colour, draw_surface
from data_pipelines.render.scene import Shot
from hpof_jax.geometry.numpy_rotations import to_matrix

TEXTURE = 1024  # pixels of a wall's texture
WALL_METRES = (5.0, 12.0)  # that it covers
MARGIN = (0.8, 6.0)  # metres from the people and the camera to the walls
CEILING = (0.6, 3.0)  # metres above the camera and the people


class Hall:
    """A room of random walls, in which the people and the camera of a shot have space; `frame` as of `Backdrop`."""

    def __init__(self, rng: np.random.Generator, shot: Shot):
        self._turn = to_matrix(np.array([0.0, rng.uniform(0, np.pi / 2), 0.0]))  # from the room to the world
        joints = (
            np.einsum("tji,tkj->tki", shot.to_camera, shot.ground_truth["joints"]) + shot.positions[:, None]
        )
        inside = np.concatenate([joints.reshape(-1, 3), shot.positions]) @ self._turn
        self._low = inside.min(axis=0) - rng.uniform(*MARGIN, 3)
        self._high = inside.max(axis=0) + rng.uniform(*MARGIN, 3)
        self._low[1] = min(0.0, float(shot.positions[:, 1].min()) - 0.2)
        self._high[1] = inside[:, 1].max() + rng.uniform(*CEILING)
        self._walls = [_wall(rng) for _ in range(6)]
        self._pixels = TEXTURE / rng.uniform(*WALL_METRES)  # of a texture in a metre
        self._shot = shot
        rows, columns = shot.window.size
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        x, y = x - shot.window.centre[0], y - shot.window.centre[1]
        self._rays = np.stack([x, y, np.full_like(x, shot.window.focal_length)]).astype(np.float32)

    def frame(self, number: int) -> tuple[np.ndarray, None]:
        """Frame `number` without the person: (h, w, 3) uint8 RGB; nothing is in front of the person."""
        turn = (self._shot.to_camera[number] @ self._turn).astype(np.float32).T
        place = (self._shot.positions[number] @ self._turn).astype(np.float32)
        ways = (turn @ self._rays.reshape(3, -1)).reshape(self._rays.shape)  # axis by axis, which is faster
        ways[np.abs(ways) < 1e-6] = 1e-6
        ends = zip(self._low - place, self._high - place, ways)
        reaches = [np.where(way > 0, np.float32(high), np.float32(low)) / way for low, high, way in ends]
        reach = np.minimum(np.minimum(reaches[0], reaches[1]), reaches[2])
        drawn = np.zeros((*reach.shape, 3), np.uint8)
        for axis in range(3):
            hit = reaches[axis] == reach
            for positive in (False, True):
                shown = (hit & ((ways[axis] > 0) == positive)).astype(np.uint8)
                left, top, width, height = cv2.boundingRect(shown)
                if not width:
                    continue
                box = slice(top, top + height), slice(left, left + width)
                # The wall's pattern stands upright: its rows are those of height, where it has any.
                across = {0: (2, 1), 1: (0, 2), 2: (0, 1)}[axis]
                places = (place[other] + ways[other][box] * reach[box] for other in across)
                u, v = (np.abs(np.mod(side * self._pixels, 2 * TEXTURE) - TEXTURE) for side in places)
                wall = self._walls[2 * axis + positive]
                part = cv2.remap(wall, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
                cv2.copyTo(part, shown[box], drawn[box])
        return drawn, None


def _wall(rng: np.random.Generator) -> np.ndarray:
    """(TEXTURE, TEXTURE, 3) uint8 RGB: a surface with doors, windows, pictures and shelves."""
    wall = cv2.resize(draw_surface(rng, TEXTURE // 2), (TEXTURE, TEXTURE))
    for _ in range(rng.integers(10, 60)):
        corner, extent = rng.uniform(0, TEXTURE, 2), rng.gamma(1.5, 40, 2)
        far = (corner + extent).astype(int).tolist()
        cv2.rectangle(wall, corner.astype(int).tolist(), far, draw_colour(rng), int(rng.choice([-1, -1, 3])))
    return np.clip(wall * rng.uniform(0.6, 1.1), 0, 255).astype(np.uint8)
