"""Observations at another frame rate."""

import dataclasses

import numpy as np

from hpof_jax.geometry import temporal
from hpof_jax.observe.capture import TOLERANCE
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.packed import Packed

FINEST = 8  # the finest grid for a variable frame rate, as a multiple of the wanted rate


def resample(observations: Observations, fps: float) -> Observations:
    """The same clip at a constant frame rate, by linear interpolation between frames that show the person.

    For a lower rate, frames are averaged with weights that fall linearly over one new frame to each side,
    because single frames would keep all of the detector's jitter. Frames are not mixed across a cut. Masks
    are those of the nearest frame. Optical flow and the background are dropped. A clip whose rate is constant and
    within 1 % of `fps` is returned as it is.
    """
    times, rate = observations.times, float(observations.fps)
    if np.any(np.abs(times - np.linspace(times[0], times[-1], len(times))) > TOLERANCE):
        rate = fps * np.clip(np.ceil(1 / (fps * np.diff(times).min()) - 0.01), 1, FINEST)
        count = int(np.ceil((times[-1] - times[0]) * rate - 1e-6)) + 1
        position = np.interp(times[0] + np.arange(count) / rate, times, np.arange(len(times)))
        observations = _sample(observations, rate, position, 1.0)
    if abs(fps / rate - 1) <= 0.01:
        return observations
    position = temporal.positions(len(observations), rate, fps)
    return _sample(observations, fps, position, max(rate / fps, 1.0))


def _sample(observations: Observations, fps: float, position: np.ndarray, reach: float) -> Observations:
    """The clip at positions (N,), in frames and 1 / fps apart, by `temporal.local_means` within each shot."""
    first, stop = observations.shots, np.append(observations.shots[1:], len(observations))
    shot = np.searchsorted(first, position, side="right") - 1
    position = np.minimum(position, stop[shot] - 1)  # the last frame of a shot is held until the cut
    lower, upper, weight = temporal.neighbours(position)
    seen = observations.seen[lower] & observations.seen[upper]
    nearest = np.where(weight > 0.5, upper, lower)
    means = []
    for number in np.unique(shot):
        start, valid = first[number], observations.seen[first[number] : stop[number]]
        around, shares = temporal.local_means(position[shot == number] - start, reach, valid)
        means.append((start + around, shares))
    frames, share = (np.concatenate(parts) for parts in zip(*means))

    def between(values: np.ndarray) -> np.ndarray:
        mean = np.einsum("nk,nk...->n...", share.astype(values.dtype), values[frames])
        return np.where(seen[:, None, None], mean, 0)

    def closest(values: np.ndarray | Packed | None) -> np.ndarray | None:
        return (
            None if values is None else np.where(seen[:, None, None], values[nearest], 0).astype(values.dtype)
        )

    return dataclasses.replace(
        observations,
        landmarks_2d=between(observations.landmarks_2d),
        landmarks_3d=between(observations.landmarks_3d),
        seen=seen,
        fps=np.float32(fps),
        times=observations.times[0] + np.arange(len(position)) / fps,
        shots=np.flatnonzero(np.diff(shot, prepend=-1)),
        features=None if observations.features is None else between(observations.features[:, None])[:, 0],
        masks=closest(observations.masks),
        mask_to_frame=closest(observations.mask_to_frame),
        flow=None,
        flow_valid=None,
        flow_box=None,
        background=None,
    )
