"""Finds people in an image who are not followed yet."""

from collections.abc import Iterable

import numpy as np

from hpof_jax.observe.blazepose import MIN_PRESENCE, BlazePose, Pose, Region, overlap

SAME_PERSON_DISTANCE = 0.1
MAX_LOOKS, MIN_NEW_PRESENCE, MIN_CONFIRMING_OVERLAP = 5, 0.8, 0.45


def find_people(
    net: BlazePose,
    image: np.ndarray,
    squares: Iterable[tuple[float, float, float]],
    known: Iterable[Pose] = (),
) -> list[Pose]:
    """The poses of all people that the detector finds in the squares, but for those who are `known`."""
    known, found = list(known), []
    regions = [pose.region for pose in known]
    for square in squares:
        for region in net.detect(image, square):
            if any(overlap(region, other) > 0.8 for other in regions):
                continue
            regions.append(region)
            pose = settle(net, image, region)
            if pose is None or any(is_same(pose, other) for other in (*known, *found)):
                continue
            if is_confirmed(net, image, pose.region):
                found.append(pose)
    return found


def settle(net: BlazePose, image: np.ndarray, region: Region) -> Pose | None:
    """The pose of the person in `region`, or None if there is nobody.

    Each pose gives a better region, in which the network runs again. If the region does not converge, it
    shows something other than a person.
    """
    for _ in range(MAX_LOOKS):
        pose = net.landmarks(image, region)
        if pose.score < MIN_PRESENCE:
            return None
        moved, grown = change(region, pose.region)
        if moved < 0.03 and grown < 1.07:
            break
        region = pose.region
    else:
        return None
    return pose if pose.score >= MIN_NEW_PRESENCE else None


def is_confirmed(net: BlazePose, image: np.ndarray, place: Region) -> bool:
    """Whether the detector finds a person in crops around `place`. In background it does not."""
    return all(
        any(overlap(place, other) > MIN_CONFIRMING_OVERLAP for other in net.detect(image, square))
        for square in ((place.x, place.y, place.size), (place.x, place.y, 1.5 * place.size))
    )


def change(old: Region, new: Region) -> tuple[float, float]:
    """The distance from `old` to `new` in sizes of `old`, and the ratio of the larger to the smaller size."""
    moved = np.hypot(new.x - old.x, new.y - old.y) / old.size
    return float(moved), max(new.size / old.size, old.size / max(new.size, 1e-6))


def is_same(a: Pose, b: Pose, limit: float = SAME_PERSON_DISTANCE) -> bool:
    """Whether the landmarks of two poses are, on average, closer than `limit` sizes of the larger region."""
    distance = np.linalg.norm(a.landmarks_2d[:, :2] - b.landmarks_2d[:, :2], axis=1).mean()
    return distance < limit * max(a.region.size, b.region.size)


def tiles(shape: tuple[int, ...], scale: float) -> list[tuple[float, float, float]]:
    """Squares [x, y, side] that cover an image and overlap by half; `side` is `scale` times its shorter side.

    The detector misses people who are much smaller than its square, as in the whole of a wide image.
    """
    height, width = shape[:2]
    side = scale * min(height, width)

    def centres(length: int) -> np.ndarray:
        return np.linspace(side / 2, length - side / 2, int(np.ceil(2 * (length - side) / side)) + 1)

    whole = [(width / 2, height / 2, float(max(height, width)))] if scale == 1.0 and width != height else []
    return whole + [(float(x), float(y), side) for y in centres(height) for x in centres(width)]
