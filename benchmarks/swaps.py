"""Precision and recall of the correction of left-right swaps, on rendered people.

    python -m benchmarks.swaps rendered/ [more/ ...] [--half odd] [--json FILE]

Reads folders that `python -m hpof_jax.data render` made. Each clip counts as the detector saw it ("as seen"),
and `TIMES` times with further swaps ("injected") of the whole body, the legs or the arms: `RATE` a frame, 5
to 40 frames long, as `data_pipelines.observed.augment.drop_and_swap` makes them for training, but more of
them.

- One unit is the legs or the arms in one frame. It is wrong if its landmarks fit the ground truth better with
  left and right swapped, by the distance of the 12 limb joints in the picture (in body extents) and in space
  (in units of 1.6 m). Units in which both fit alike, within `MARGIN`, do not count.
- `wrong`: percent of wrong units before the correction; `after`: after it. `precision`, `recall`: of the
  units that the correction swaps. `alarms`: percent of right units that it swaps.
- `pa_mpjpe`, `pa_after`: mm, of the package's model without and with the correction, on the 12 limb joints in
  seen frames. `worst`: the largest rise in a clip.

The constants of `hpof_jax.observe.swaps` were chosen on the even clips; the odd ones are for reporting.
"""

import argparse

import numpy as np

from benchmarks.program import print_row, program
from benchmarks.real_views import HIPS
from benchmarks.rendered import Clip, add_folders, read_clips, true_limbs
from data_pipelines.observed.augment import SWAP_FRAMES, draw_events
from data_pipelines.simulate.landmark_tables import SWAP_GROUPS
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, BLAZEPOSE_MIRROR, SMPL_LIMBS
from hpof_jax.errors import UserError
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.blazepose import NUM_LANDMARKS
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.swaps import ARMS, BODY_EXTENT, LEGS, undo_swaps
from hpof_jax.training import metrics

RATE, TIMES, MARGIN = 0.004, 3, 0.1
OBSERVED = ("landmarks_2d", "landmarks_3d", "seen", "image_size", "focal_length", "fps")
FIGURES = ("clips", "wrong", "after", "precision", "recall", "alarms", "pa_mpjpe", "pa_after", "worst")
HALVES = {"even": (0,), "odd": (1,), "all": (0, 1)}  # a clip's number modulo 2
GROUPS = [np.flatnonzero(np.isin(BLAZEPOSE_LIMBS, group)) for group in (LEGS, ARMS)]


def advantage(
    landmarks_2d: np.ndarray, landmarks_3d: np.ndarray, true: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """How much better the landmarks fit with left and right swapped, (T, 2) body extents, of legs and arms.

    Args:
      landmarks_2d, landmarks_3d: (T, 33, 3) of the detector.
      true: (T, 12, 3) metres, camera frame. pixels: (T, 12, 2).
    """
    true = true - true[:, HIPS].mean(axis=1, keepdims=True)
    extent = np.maximum(np.ptp(pixels, axis=1).max(axis=1), 1.0)[:, None]
    straight, crossed = (
        np.linalg.norm(landmarks_2d[:, limbs, :2] - pixels, axis=-1) / extent
        + np.linalg.norm(landmarks_3d[:, limbs] - true, axis=-1) / BODY_EXTENT
        for limbs in (BLAZEPOSE_LIMBS, BLAZEPOSE_MIRROR[BLAZEPOSE_LIMBS])
    )
    return np.stack([(straight - crossed)[:, group].mean(axis=1) for group in GROUPS], axis=1)


def with_swaps(clip: Clip, rng: np.random.Generator) -> tuple[Clip, np.ndarray]:
    """The clip with injected swaps, and where they are, (T, 2) bool for legs and arms."""
    kind = draw_events(rng, (1, len(clip["seen"])), RATE, SWAP_FRAMES, len(SWAP_GROUPS))[0]
    injected = np.concatenate([SWAP_GROUPS, np.zeros((1, NUM_LANDMARKS), bool)])[kind]
    points = {
        key: np.where(injected[..., None], clip[key][:, BLAZEPOSE_MIRROR], clip[key])
        for key in ("landmarks_2d", "landmarks_3d")
    }
    return clip | points, injected[:, [LEGS[0], ARMS[0]]]


def score(clip: Clip, rng: np.random.Generator | None, model: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Corrects the swaps of a clip.

    Args:
      rng: draws the swaps to inject; None: there are none.
      model: weights and body, as `lift` takes them.

    Returns:
      hits, false alarms, misses and rightly kept units, (4,); the model's error without and with the
      correction, (2,) mm.
    """
    true, pixels = true_limbs(clip)
    gain = advantage(clip["landmarks_2d"], clip["landmarks_3d"], true, pixels)
    wrong = gain > 0
    if rng is not None:
        clip, injected = with_swaps(clip, rng)
        wrong = wrong ^ injected
    *_, swapped = undo_swaps(clip["landmarks_2d"], clip["landmarks_3d"], clip["seen"])
    counts = clip["seen"][:, None] & (np.abs(gain) > MARGIN)
    cells = [np.sum(counts & (swapped == a) & (wrong == b)) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
    observations = Observations(**{key: clip[key] for key in OBSERVED})
    errors = [
        metrics.pa_mpjpe(lift(observations, *model, undo_swaps=undo).joints[:, SMPL_LIMBS], true)
        for undo in (False, True)
    ]
    return np.array(cells), np.array([np.mean(np.asarray(error)[clip["seen"]]) for error in errors])


def summary(cells: np.ndarray, errors: np.ndarray) -> tuple[float, ...]:
    """The figures that follow `clips`, from the counts (4,) and the errors (N, 2) of all clips."""
    hits, alarms, misses, kept = cells.tolist()
    units = max(hits + alarms + misses + kept, 1)
    return (
        100 * (hits + misses) / units,
        100 * (alarms + misses) / units,
        hits / max(hits + alarms, 1),
        hits / max(hits + misses, 1),
        100 * alarms / max(alarms + kept, 1),
        *errors.mean(axis=0).tolist(),
        float(np.max(errors[:, 1] - errors[:, 0])),
    )


def _options(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--half", choices=HALVES, default="odd", help="which clips, by their numbers (odd)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    report, model, numbers = {}, (load_weights(), load_body()), HALVES[options.half]
    print_row("", FIGURES, width=11)
    for folder in options.folders:
        clips = [c for number, c in read_clips(folder) if number % 2 in numbers and c["seen"].any()]
        if not clips:
            raise UserError(f"No clip of {folder} is in the half '{options.half}': give another --half.")
        rng = np.random.default_rng(0)
        for name, generators in (("as seen", [None]), ("injected", [rng] * TIMES)):
            cells, errors = zip(*(score(clip, rng, model) for rng in generators for clip in clips))
            figures = summary(np.sum(cells, axis=0), np.array(errors))
            report[f"{folder.name}, {name}"] = dict(zip(FIGURES, (len(clips), *figures)))
            print_row(f"{folder.name}, {name}", (len(clips), *figures), decimals=2, width=11)
    return report


if __name__ == "__main__":
    main()
