"""The time offset between a video's motion and a laboratory's, by cross-correlation, and resampling."""

import numpy as np

STEP = 0.01  # seconds, of the grid on which signals are compared
COARSE = 0.05  # seconds, of the grid of the first search
MOST = 10.0  # seconds, the largest offset that is looked for
OVERLAP = 0.5  # of the shorter recording must overlap
SURE = 0.5  # a lower correlation is no match
MOVING = 0.02  # the signals must vary by that much: metres, or `DEGREES` of angles
DEGREES = 3.0
_FEWEST = 10  # grid points of overlap
_NONE = -1.0  # the correlation where the recordings do not overlap enough


def distances(points: np.ndarray) -> np.ndarray:
    """Distances between all pairs of joints, (T, K, 3) -> (T, K (K - 1) / 2): the same in every frame of reference."""
    first, second = np.triu_indices(points.shape[1], 1)
    return np.linalg.norm(points[:, first] - points[:, second], axis=-1)


def find_offset(
    times: np.ndarray, signals: np.ndarray, other_times: np.ndarray, other: np.ndarray, moving: float = MOVING
) -> tuple[float, float]:
    """The offset with which `other` fits best: what happens at t in `signals` happens at t + offset in `other`.

    Args:
      times: (T,) seconds. signals: (T, K), NaN where unknown.
      other_times: (S,) seconds. other: (S, K).
      moving: the least standard deviation of a recording, in the unit of the signals.

    Returns:
      offset in seconds, and the correlation there, at most 1. (0, 0) if nothing moves or nothing overlaps.
    """
    recordings = (times, signals), (other_times, other)
    offset, correlation = _search(*recordings, COARSE, 0.0, MOST, moving)
    if correlation == 0.0:
        return 0.0, 0.0
    return _search(*recordings, STEP, offset, 2 * COARSE, moving)


def _search(
    one: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
    step: float,
    around: float,
    reach: float,
    moving: float,
) -> tuple[float, float]:
    """The best offset within `reach` of `around`, on a grid of `step`, all in seconds; see `find_offset`."""
    a, b = (
        resample(signals, times, np.arange(times[0], times[-1] + step / 2, step))
        for times, signals in (one, other)
    )
    known = [np.isfinite(x).mean(axis=0) > OVERLAP for x in (a, b)]
    a, b = (x[:, known[0] & known[1]] for x in (a, b))
    if not a.size or not b.size or min(np.nanstd(x, axis=0).max() for x in (a, b)) < moving:
        return 0.0, 0.0
    # Grid point i of `a` meets grid point i + lag of `b`; the grids begin at different times.
    begin = (one[0][0] - other[0][0]) / step
    least = max(_FEWEST, OVERLAP * min(len(a), len(b)))
    lags = np.arange(int(np.ceil(begin + (around - reach) / step)), int(begin + (around + reach) / step) + 1)
    values = np.array([_correlation(a, b, lag, least) for lag in lags])
    best = int(values.argmax())
    if values[best] == _NONE:
        return 0.0, 0.0
    return float((lags[best] + _peak(values, best) - begin) * step), float(values[best])


def resample(values: np.ndarray, times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (T, ...) at times (T,) -> at (N,), linearly; NaN in gaps, and outside by more than half a `STEP`."""
    near = np.clip(wanted, times[0], times[-1])
    wanted = np.where(np.abs(near - wanted) <= STEP / 2, near, wanted)
    flat = values.reshape(len(values), -1)
    columns = [np.interp(wanted, times, column, np.nan, np.nan) for column in flat.T]
    return np.stack(columns, axis=-1).reshape(len(wanted), *values.shape[1:])


def _correlation(a: np.ndarray, b: np.ndarray, lag: int, least: float) -> float:
    start, end = max(0, -lag), min(len(a), len(b) - lag)
    if end - start < least:
        return _NONE
    a, b = a[start:end], b[start + lag : end + lag]
    known = np.isfinite(a) & np.isfinite(b)
    count = np.maximum(known.sum(axis=0), 1)
    a, b = (np.where(known, x, 0.0) for x in (a, b))
    a, b = (np.where(known, x - x.sum(axis=0) / count, 0.0) for x in (a, b))
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 0 else _NONE


def _peak(values: np.ndarray, best: int) -> float:
    """Where the parabola through a maximum and its neighbours peaks, between -0.5 and 0.5 of a step."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, here, after = values[best - 1 : best + 2]
    bend = before - 2 * here + after
    return (
        float(np.clip((before - after) / (2 * bend), -0.5, 0.5))
        if min(before, after) > _NONE and bend < 0
        else 0.0
    )
