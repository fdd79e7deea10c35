"""How the camera of a video moves, from points of the background.

Within a shot, each frame is compared with a keyframe by the points that both show. A camera whose points stay in
place is static. Otherwise a rotation explains how they move: see `hpof_jax.geometry.two_views`. A new keyframe is
chosen only when too few points of the last one are left, because errors add up over keyframes.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from hpof_jax.geometry.two_views import rays, rotation_between
from hpof_jax.observe.background import SIDE, Background
from hpof_jax.observe.camera_path import find_path

# Lengths are in pixels of a picture whose longer side is SIDE.
STILL = 0.4  # a point that moved less stays in place: 0.05 degrees at a usual focal length
STILL_SHARE, STILL_FRAMES = 0.5, 0.98  # of the points in a still frame, and of the frames of a static camera
# Frames from a keyframe in which a static camera is compared with it: points that are followed for long drift. A camera
# that turns by less than a third of a degree per minute counts as static.
LONGEST = 300
AGREE = 1.5  # a point agrees with a rotation within this
MIN_POINTS, MIN_SHARE = 12, 0.4  # that agree; fewer say nothing
GOOD_SHARE = 0.7  # of points that agree; below it a nearer keyframe is tried,
CLEARLY = 0.1  # and taken if the share is this much higher there
MIN_SPREAD = 0.08  # of the points that agree, standard deviation as a share of the longer side
KEPT_SHARE = 0.5  # of the keyframe's points; when fewer are left, there is a new keyframe
LONGEST_GAP = 0.25  # seconds without points that are bridged at constant speed


@dataclasses.dataclass(frozen=True, eq=False)
class CameraMotion:
    """The camera's motion in T frames, relative to the first frame of each shot.

    rotations: (T, 3, 3) from the camera axes of the shot's first frame to those of the frame.
    positions: (T, 3) in the axes of the shot's first frame, up to scale; 0 in a shot that is not "moving".
    solved: (T,) bool; elsewhere the rotation is interpolated, or the identity in an unknown shot.
    shots: the first frame of each shot.
    kinds: one for each shot: "static", "rotating", "moving", or "unknown", where the rotations are the identity.
    reasons: one for each shot: what is not known, and why, or "".
    """

    rotations: np.ndarray
    positions: np.ndarray
    solved: np.ndarray
    shots: tuple[int, ...]
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """[first, stop) of each shot."""
        return list(zip(self.shots, [*self.shots[1:], len(self)]))

    def turn(self, first: int, stop: int) -> float:
        """The largest angle in degrees between frames [first, stop) and the first of them."""
        relative = self.rotations[first:stop] @ self.rotations[first].T
        return float(np.degrees(Rotation.from_matrix(relative).magnitude().max()))

    def part(self, first: int, stop: int) -> "CameraMotion":
        """Frames [first, stop), still relative to the first frames of the shots in which they lie."""
        rows = [row for row, (start, end) in enumerate(self.spans) if start < stop and end > first]
        return CameraMotion(
            self.rotations[first:stop],
            self.positions[first:stop],
            self.solved[first:stop],
            tuple(max(self.shots[row] - first, 0) for row in rows),
            tuple(self.kinds[row] for row in rows),
            tuple(self.reasons[row] for row in rows),
        )


def static(frames: int, shots: Sequence[int] = (0,)) -> CameraMotion:
    """A camera that stands still in T frames with these shots."""
    count = len(shots)
    return CameraMotion(
        np.tile(np.eye(3), (frames, 1, 1)),
        np.zeros((frames, 3)),
        np.ones(frames, bool),
        tuple(shots),
        ("static",) * count,
        ("",) * count,
    )


def solve(
    background: Background,
    focal_length: float,
    image_size: np.ndarray,
    fps: float,
    *,
    may_be_static: bool = True,
) -> CameraMotion:
    """The camera's motion in all frames.

    Args:
      background: points of T frames.
      focal_length: px.
      image_size: (2,) = [height, width] px.
      fps: frames/s.
      may_be_static: False: do not look whether the camera is static.
    """
    frames, shots = len(background), background.shots.tolist()
    found = static(frames, shots)
    rotations, positions, solved = found.rotations, found.positions, found.solved
    kinds: list[str] = []
    reasons: list[str] = []
    view = View(background, float(focal_length), np.asarray(image_size, np.float64))
    for first, stop in zip(shots, [*shots[1:], frames]):
        part, reason = slice(first, stop), ""
        if stop - first == 1 or (may_be_static and _is_static(view, first, stop)):
            kinds.append("static")
        else:
            relative, known = _follow(view, first, stop)
            reason = _why_unknown(known, fps)
            kinds.append("unknown" if reason else "rotating")
            solved[part] = known & (not reason)
            rotations[part] = np.eye(3) if reason else _bridged(relative, known)
            path = find_path(view, first, stop, rotations[part], fps) if known.all() else ""
            if isinstance(path, str):
                reason = reason or path
            else:
                kinds[-1] = "moving"
                rotations[part], positions[part] = path
        reasons.append(reason)
    return CameraMotion(rotations, positions, solved, tuple(shots), tuple(kinds), tuple(reasons))


class View:
    """Points of the background by frame, and the camera's lens."""

    def __init__(self, background: Background, focal_length: float, image_size: np.ndarray):
        self.background, self.focal_length, self.image_size = background, focal_length, image_size
        self.scale = SIDE / image_size.max()  # px of the small picture in one of the frame
        self.tolerance = AGREE / self.scale / focal_length  # radians

    @functools.cached_property
    def rays(self) -> np.ndarray:
        """(M, 3) of `background.points`; a static camera does without them, which saves memory."""
        return rays(self.background.points, self.focal_length, self.image_size)

    def count(self, frame: int) -> int:
        return int(np.diff(self.background.starts[frame : frame + 2])[0])

    def common(self, frame: int, other: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows in `background.points` of the points that two frames show."""
        starts = self.background.starts[[frame, other]]
        ids = self.background.frame(frame)[0], self.background.frame(other)[0]
        _, rows, other_rows = np.intersect1d(*ids, assume_unique=True, return_indices=True)
        return rows + starts[0], other_rows + starts[1]


def _is_static(view: View, first: int, stop: int) -> bool:
    """Whether most of the points stay where they were in nearly all frames."""
    key, still = first, 0
    for frame in range(first, stop):
        rows, other = view.common(key, frame)
        if frame - key > LONGEST or len(rows) < max(MIN_POINTS, KEPT_SHARE * view.count(key)):
            key = frame if frame == key else frame - 1
            rows, other = view.common(key, frame)
        moved = (
            np.linalg.norm(view.background.points[rows] - view.background.points[other], axis=1) * view.scale
        )
        still += len(rows) >= MIN_POINTS and np.mean(moved < STILL) >= STILL_SHARE
    return still >= STILL_FRAMES * (stop - first)


def _follow(view: View, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (N, 3, 3) since the last gap, and (N,) whether each frame could be compared with one before."""
    rng = np.random.default_rng(0)
    rotations, known = np.tile(np.eye(3), (stop - first, 1, 1)), np.zeros(stop - first, bool)
    key, known[0] = first, view.count(first) >= MIN_POINTS
    for frame in range(first + 1, stop):
        turn, share, kept = _compare(view, key, frame, rng)
        if key < frame - 1 and (share < GOOD_SHARE or kept < KEPT_SHARE):
            nearer, nearer_share, _ = _compare(view, frame - 1, frame, rng)
            if nearer_share > share + CLEARLY or kept < KEPT_SHARE:
                key, turn, share = frame - 1, nearer, nearer_share
        if share >= MIN_SHARE:
            rotations[frame - first] = turn @ rotations[key - first]
            known[frame - first] = True
        else:  # a gap: the next frames are compared with this one
            key = frame
    return rotations, known


def _compare(view: View, key: int, frame: int, rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """The rotation from a keyframe, the share of points that agree with it, and of the keyframe's points left."""
    rows, other = view.common(key, frame)
    kept = len(rows) / max(view.count(key), 1)
    if len(rows) < MIN_POINTS:
        return np.eye(3), 0.0, kept
    turn, agree = rotation_between(view.rays[rows], view.rays[other], view.tolerance, rng)
    spread = view.background.points[other[agree]].std(axis=0).max() if agree.any() else 0.0
    enough = np.count_nonzero(agree) >= MIN_POINTS and spread > MIN_SPREAD * view.image_size.max()
    return turn, float(agree.mean()) if enough else 0.0, kept


def _gaps(known: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of each run of frames that are not known."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _why_unknown(known: np.ndarray, fps: float) -> str:
    """Why the motion of a shot cannot be told; "" if it can."""
    if not known[1:].any():
        return "the background has too few points that can be followed"
    longest = max(_gaps(known), key=lambda gap: gap[1] - gap[0], default=(0, 0))
    if longest[1] - longest[0] > max(LONGEST_GAP * fps, 1):
        return f"the background cannot be followed in {longest[1] - longest[0]} frames, from frame {longest[0]} of the shot"
    return ""


def _bridged(rotations: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rotations (N, 3, 3) from the first frame: after each gap, the camera has gone on turning at the same speed."""
    found = rotations.copy()
    for start, stop in _gaps(known):
        before, after = found[max(start - 1, 0)], found[stop - 1]
        speeds = []
        if start > 1:
            speeds.append(Rotation.from_matrix(found[start - 1] @ found[start - 2].T).as_rotvec())
        if stop < len(found):
            speeds.append(Rotation.from_matrix(found[stop] @ after.T).as_rotvec())
        speed = np.mean(speeds, axis=0) if speeds else np.zeros(3)
        inside = np.arange(1, stop - start + 1)[:, None] * (speed if start else 0 * speed)
        bridge = Rotation.from_rotvec(inside).as_matrix() @ before
        found[stop:] = found[stop:] @ bridge[-1]
        found[start:stop] = bridge
    return found
