"""Confidence intervals of a mean over frames, when the frames of a sequence are not independent."""

import numpy as np

LEVEL = 95.0  # percent
RESAMPLES = 2000


def interval(
    totals: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap over sequences (Efron, Annals of Statistics 1979).

    Whole sequences are drawn with replacement, because neighbouring frames have nearly the same error.

    Args:
      totals: (N, 2) = [sum, count] of the errors of each sequence.
      level: percent of the resampled means that lie inside.

    Returns:
      The lower and the upper end; NaN for fewer than two sequences that have a count.
    """
    totals = np.asarray(totals, np.float64)
    totals = totals[totals[:, 1] > 0]
    if len(totals) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    chosen = totals[rng.integers(len(totals), size=(resamples, len(totals)))].sum(axis=1)
    low, high = np.percentile(chosen[:, 0] / chosen[:, 1], [50 - level / 2, 50 + level / 2])
    return float(low), float(high)
