"""Identities of several people, on rendered clips in which they cross, meet, and leave and come back.

    python -m benchmarks.identities [--clips 50] [--seed 1] [--first 0] [--json FILE]

Each clip shows two or three people (`data_pipelines.render.crowd`) and is observed as by `--person all`.

- `crossings`: times that two people pass within a quarter of a body height of one another in the picture.
  `returns`: times that somebody is visible again after a third of a second or more.
- `switches`: times that a person's frames go on under another number, as MOTA counts them (Bernardin and
  Stiefelhagen, 2008). A new number after a gap counts too.
- `changed_owner`: numbers that go from one person to another, which is the worse error.
- `IDF1`: Ristani et al., "Performance Measures and a Data Set for Multi-target, Multi-camera Tracking", 2016.

A person counts in a frame if half of their joints can be seen. An observed body is a person's if its
shoulders, hips and knees are, on average, within a fifth of the person's height; left and right do not count.

The constants of `hpof_jax.observe.people` and `hpof_jax.observe.identities` were chosen on clips of seed 100, and the
limit on bones also on those of seed 200.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.program import print_row, program
from data_pipelines.motion.clip import FPS
from data_pipelines.render.crowd import FRAMES, Crowd, make_crowd
from hpof_jax import visualize
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.cli import positive_int
from hpof_jax.errors import UserError
from hpof_jax.observe.blazepose import BlazePose
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.everybody import observe_everybody

PARTS = ("shoulder", "hip", "knee")
JOINTS = [SMPL_JOINTS.index(f"{side}_{part}") for part in PARTS for side in ("left", "right")]
LANDMARKS = [11, 12, 23, 24, 25, 26]
SWAPPED = [1, 0, 3, 2, 5, 4]
VISIBLE_SHARE, MAX_DISTANCE, CROSSING, AWAY = 0.5, 0.2, 0.25, FPS // 3
FIGURES = ("clips", "crossings", "returns", "switches", "changed_owner", "IDF1")


def score(joints: np.ndarray, visible: np.ndarray, people: Sequence[Observations]) -> Counter:
    """Counts of one clip.

    Args:
      joints: (N, T, 24, 2) px.
      visible: (N, T) bool.
      people: as they were observed.

    Returns:
      crossings, returns, switches, changed_owner, and hits, frames and observed, from which `idf1` is made.
    """
    count, length = visible.shape
    height = np.ptp(joints[..., 1], axis=2)
    close = np.zeros((count, len(people), length), bool)
    distance = np.full(close.shape, np.inf)
    for number, person in enumerate(people):
        frames = person.first_frame + np.flatnonzero(person.seen)
        found = person.landmarks_2d[person.seen][:, LANDMARKS, :2]
        true = joints[:, frames][:, :, JOINTS]
        away = [
            np.linalg.norm(true - found[:, order], axis=-1).mean(axis=-1) for order in (np.arange(6), SWAPPED)
        ]
        distance[:, number, frames] = np.minimum(*away) / height[:, frames]
    close = distance < MAX_DISTANCE
    # What is observed of somebody who hardly can be seen is no error.
    ignored = (close & ~visible[:, None]).any(axis=0) & ~(close & visible[:, None]).any(axis=0)
    hits = (close & visible[:, None]).sum(axis=2)
    best = hits[linear_sum_assignment(-hits)].sum()
    owners: list[dict[int, int]] = []
    last: dict[int, int] = {}
    for frame in range(length):
        owners.append(_owners(distance[..., frame], visible[:, frame], last))
        last |= owners[-1]
    names = [[frame[person] for frame in owners if person in frame] for person in range(count)]
    shown = [[who for frame in owners for who in frame if frame[who] == name] for name in range(len(people))]
    return Counter(
        crossings=_crossings(joints, visible, height),
        returns=sum(_returns(row) for row in visible),
        switches=sum(_changes(row) for row in names),
        changed_owner=sum(_changes(row) for row in shown),
        hits=int(best),
        frames=int(visible.sum()),
        observed=int((np.isfinite(distance).any(axis=0) & ~ignored).sum()),
    )


def idf1(counts: Counter) -> float:
    """Twice the hits of the best assignment, over the true and the observed frames."""
    return 2 * counts["hits"] / max(counts["frames"] + counts["observed"], 1)


def _owners(distance: np.ndarray, visible: np.ndarray, last: dict[int, int]) -> dict[int, int]:
    """Person -> number in one frame. Pairs of the last time stay if they can; the others have the least distance."""
    costs = np.where((distance < MAX_DISTANCE) & visible[:, None], distance, 1e3)
    kept = {person: name for person, name in last.items() if costs[person, name] < 1e3}
    costs[[*kept]] = costs[:, [*kept.values()]] = 1e3
    new = {int(i): int(j) for i, j in zip(*linear_sum_assignment(costs)) if costs[i, j] < 1e3}
    return kept | new


def _changes(row: Sequence[int]) -> int:
    return int(np.count_nonzero(np.diff(row))) if len(row) > 1 else 0


def _crossings(joints: np.ndarray, visible: np.ndarray, height: np.ndarray) -> int:
    """How often two people come close; a moment of visibility before it is needed."""
    x, total = joints[:, :, 0, 0], 0
    for one in range(len(x)):
        for other in range(one):
            near = np.abs(x[one] - x[other]) < CROSSING * (height[one] + height[other]) / 2
            near &= visible[one] | visible[other]
            starts = np.flatnonzero(np.diff(near.astype(int), prepend=0) == 1)
            total += sum(visible[one, :start].any() and visible[other, :start].any() for start in starts)
    return int(total)


def _returns(visible: np.ndarray) -> int:
    there = np.flatnonzero(visible)
    return int(np.count_nonzero(np.diff(there) > AWAY))


def observe_crowd(crowd: Crowd, net: BlazePose) -> tuple[np.ndarray, list[Observations]]:
    """Whether each person is visible in each frame, (N, T) bool, and the people as they are observed."""
    visible: list[list[bool]] = []

    def images():
        for number, (image, masks) in enumerate(crowd.pictures):
            visible.append(
                [_share(mask, at) >= VISIBLE_SHARE for mask, at in zip(masks, crowd.joints[:, number])]
            )
            yield image

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/crowd.mp4"
        visualize.record(images(), FPS, path)
        try:
            people = observe_everybody(path, progress=False, net=net)
        except UserError:  # nobody
            people = []
    return np.array(visible).T, people


def _share(mask: np.ndarray, joints: np.ndarray) -> float:
    """The share of joints (24, 2) within two pixels of a mask."""
    grown = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    column, row = np.floor(joints).astype(int).T
    inside = (row >= 0) & (column >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
    return float(np.mean(inside & (grown[np.where(inside, row, 0), np.where(inside, column, 0)] > 0)))


def _row(counts: Counter) -> tuple[float, ...]:
    return (*(counts[name] for name in FIGURES[:-1]), idf1(counts))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clips", type=positive_int, default=50, help="number of clips (50)")
    parser.add_argument("--seed", type=int, default=1, help="of the clips (1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first clip (0)")
    parser.add_argument("--frames", type=positive_int, default=FRAMES, help=f"of each clip ({FRAMES})")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    net, totals = BlazePose(threads=1), {}
    print_row("", FIGURES, width=14)
    for number in range(options.first, options.first + options.clips):
        crowd = make_crowd(options.seed, number, options.frames)
        visible, people = observe_crowd(crowd, net)
        counts = score(crowd.joints, visible, people) + Counter(clips=1)
        print_row(f"{number} {crowd.kind}", _row(counts), decimals=3, width=14)
        for name in (crowd.kind, "all"):
            totals[name] = totals.get(name, Counter()) + counts
    for name, counts in totals.items():
        print_row(name, _row(counts), decimals=3, width=14)
    return {name: dict(zip(FIGURES, _row(counts))) for name, counts in totals.items()}


if __name__ == "__main__":
    main()
