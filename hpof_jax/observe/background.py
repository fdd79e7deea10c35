"""Points of the background, followed from frame to frame: what `hpof_jax.observe.camera_motion` needs.

Corners (Shi and Tomasi, CVPR 1994) are followed by pyramidal Lucas-Kanade optical flow (Bouguet, 2000) in a small
grey picture. A point is dropped if it does not come back to its place when it is followed backward, or if it
comes close to a person.
"""

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

SIDE = 480  # pixels: about the longer side of the small picture
MAX_POINTS = 100  # followed at a time
APART = 14  # pixels between points
LOOK_EVERY = 5  # frames: how often new points are looked for
QUALITY = 0.01  # of a corner, as a share of the best corner's
BACK_ERROR = 0.4  # pixels: the largest error of a point that is followed forward and backward
PERSON_MARGIN = 0.12  # around the landmarks, as a share of the person's extent
STEPS = (
    32  # per pixel of the frame, to which places are rounded: finer steps are noise, which does not compress
)
_FLOW = dict(
    winSize=(15, 15), maxLevel=3, criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.02)
)


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """Points of the background in N frames of a video.

    points: (M, 2) float32 px of the full frame, frame after frame.
    ids: (M,) int32; a point that is followed keeps its number. Ascending within a frame.
    starts: (N + 1,) rows [starts[i], starts[i + 1]) belong to frame i.
    shots: (S,) first frame of each shot, which begins with 0.
    """

    points: np.ndarray
    ids: np.ndarray
    starts: np.ndarray
    shots: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (K,) and points (K, 2) of one frame."""
        rows = slice(self.starts[number], self.starts[number + 1])
        return self.ids[rows], self.points[rows]


class BackgroundTracker:
    """Takes the frames of a video one by one, with the people in them, and collects points of the background."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._points = np.zeros((0, 2), np.float32)  # px of the small picture, OpenCV's counting
        self._ids = np.zeros(0, np.int32)
        self._next_id = 0
        self._frames = 0
        self._shots = [0]
        self._collected: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, image: np.ndarray, people: Iterable[np.ndarray], cut: bool = False) -> None:
        """Takes the next frame.

        Args:
          image: (H, W, 3) uint8 RGB.
          people: landmarks (33, 2 or more) [x px, y px, ...] of each person in it.
          cut: a new shot begins with this frame: no point is followed from the last one.
        """
        step = max(1, round(max(image.shape[:2]) / SIDE))
        grey = _small(image, step)
        free = _without_people(grey.shape, people, step)
        if cut:
            self._shots.append(self._frames)
        if cut or self._last is None:
            self._points, self._ids = self._points[:0], self._ids[:0]
        else:
            self._follow(grey)
        self._keep(_is_free(free, self._points))
        if self._frames % LOOK_EVERY == 0 or cut or len(self._points) < MAX_POINTS // 3:
            self._look(grey, free)
        self._last = grey
        self._frames += 1
        points = np.round(STEPS * step * (self._points + 0.5)) / STEPS
        self._collected.append((self._ids, points.astype(np.float32)))

    def background(self) -> Background:
        """The points of the frames so far."""
        counts = [len(ids) for ids, _ in self._collected]
        ids, points = zip(*self._collected, strict=True) if self._collected else ((), ())
        return Background(
            np.concatenate([np.zeros((0, 2), np.float32), *points]),
            np.concatenate([np.zeros(0, np.int32), *ids]),
            np.cumsum([0, *counts]),
            np.array(self._shots),
        )

    def _follow(self, grey: np.ndarray) -> None:
        if not len(self._points):
            return
        there, found, _ = cv2.calcOpticalFlowPyrLK(self._last, grey, self._points, None, **_FLOW)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(grey, self._last, there, None, **_FLOW)
        height, width = grey.shape
        good = (found & found_back).ravel() > 0
        good &= np.abs(back - self._points).max(axis=1) < BACK_ERROR
        good &= np.all((there >= 1) & (there < (width - 2, height - 2)), axis=1)
        self._points = there
        self._keep(good)

    def _keep(self, good: np.ndarray) -> None:
        self._points, self._ids = self._points[good], self._ids[good]

    def _look(self, grey: np.ndarray, free: np.ndarray) -> None:
        wanted = MAX_POINTS - len(self._points)
        if wanted < MAX_POINTS // 10:
            return
        around = free.copy()
        for x, y in self._points.astype(int).tolist():
            cv2.circle(around, (x, y), APART, 0, -1)
        new = cv2.goodFeaturesToTrack(grey, wanted, QUALITY, APART, mask=around)
        if new is None:
            return
        new = new.reshape(-1, 2)
        self._points = np.concatenate([self._points, new])
        self._ids = np.append(self._ids, np.arange(self._next_id, self._next_id + len(new), dtype=np.int32))
        self._next_id += len(new)


def _small(image: np.ndarray, step: int) -> np.ndarray:
    """A grey picture, a whole number of times smaller: OpenCV averages such blocks quickly."""
    height, width = (side // step * step for side in image.shape[:2])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:height, :width]
    return cv2.resize(grey, (width // step, height // step), interpolation=cv2.INTER_AREA)


def _without_people(shape: tuple[int, ...], people: Iterable[np.ndarray], step: int) -> np.ndarray:
    """(h, w) uint8: 0 at people and around them."""
    free = np.full(shape, 255, np.uint8)
    for landmarks in people:
        points = np.clip(np.asarray(landmarks)[:, :2] / step, -4 * SIDE, 4 * SIDE)
        margin = max(PERSON_MARGIN * float(np.ptp(points, axis=0).max()), 2.0)
        hull = cv2.convexHull(np.round(points).astype(np.int32))
        cv2.fillConvexPoly(free, hull, 0)
        cv2.polylines(free, [hull], True, 0, round(2 * margin))
    return free


def _is_free(free: np.ndarray, points: np.ndarray) -> np.ndarray:
    columns, rows = np.round(points).astype(int).T
    return free[rows, columns] > 0
