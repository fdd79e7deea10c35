"""Are swaps of left and right found, and are there false alarms? Rendered people, whose left is known.

    python -m benchmarks.swaps rendered/ [more/ ...] [--half odd] [--json FILE]

Each clip of folders that `python -m hpof_jax.data render` made is looked at as the real detector saw it ("as seen"), and
`TIMES` times with further swaps ("injected": the whole body, the legs or the arms, at `RATE` a frame, for 5 to 40 frames,
as `data_pipelines.observed.augment.drop_and_swap` makes them for training, but more of them).

- The unit is one group (legs or arms) in one frame. Its landmarks fit the truth better as they are or exchanged, by the 12
  limb joints' distance in the picture (in body extents) and in space (in 1.6 m); where the difference is below `MARGIN`,
  nobody can say and it does not count. `wrong`: percent that fit better exchanged, before and after. `precision` and
  `recall` of what was exchanged. `alarms`: false ones, percent of the right units.
- `pa_mpjpe`: of the package's model, mm, the 12 limb joints in frames that were seen, before and after; `worst`: of the
  clips, the largest rise.

The constants of `hpof_jax.observe.swaps` were chosen on the even clips; the odd ones are for reporting.
"""

import argparse
import pathlib
from collections.abc import Iterator

import numpy as np

from benchmarks.program import program
from data_pipelines.observed.augment import SWAP_FRAMES, draw_events
from data_pipelines.simulate.landmark_tables import SWAP_GROUPS
from hpof_jax.body import load_body
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, BLAZEPOSE_MIRROR, LIMB_JOINTS, SMPL_LIMBS
from hpof_jax.errors import UserError
from hpof_jax.lifting import lift
from hpof_jax.models.weights import load_weights
from hpof_jax.observe.blazepose import NUM_LANDMARKS
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.swaps import ARMS, BODY_EXTENT, LEGS, undo_swaps
from hpof_jax.training import metrics

RATE, TIMES, MARGIN = 0.004, 3, 0.1
HIPS = [LIMB_JOINTS.index("left_hip"), LIMB_JOINTS.index("right_hip")]
OBSERVED = ("landmarks_2d", "landmarks_3d", "seen", "image_size", "focal_length", "fps")
FIGURES = ("clips", "wrong", "after", "precision", "recall", "alarms", "pa_mpjpe", "pa_after", "worst")
GROUPS = [np.flatnonzero(np.isin(BLAZEPOSE_LIMBS, group)) for group in (LEGS, ARMS)]

Clip = dict[str, np.ndarray]


def advantage(
    landmarks_2d: np.ndarray, landmarks_3d: np.ndarray, true: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """How much better the landmarks fit exchanged, (T, 2) in body extents, for legs and arms.

    Args:
      landmarks_2d, landmarks_3d: (T, 33, 3) of the detector. true: (T, 12, 3) metres, camera frame. pixels: (T, 12, 2).
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
    """The clip with injected swaps, and where they are, (T, 2) bool, legs and arms."""
    kind = draw_events(rng, (1, len(clip["seen"])), RATE, SWAP_FRAMES, len(SWAP_GROUPS))[0]
    injected = np.concatenate([SWAP_GROUPS, np.zeros((1, NUM_LANDMARKS), bool)])[kind]
    points = {
        key: np.where(injected[..., None], clip[key][:, BLAZEPOSE_MIRROR], clip[key])
        for key in ("landmarks_2d", "landmarks_3d")
    }
    return clip | points, injected[:, [LEGS[0], ARMS[0]]]


def judge(clip: Clip, rng: np.random.Generator | None, weights) -> tuple[np.ndarray, np.ndarray]:
    """Hits, false alarms, misses and rightly kept units of a clip (4,); the model's errors before and after, mm (2,).

    With injected swaps where there is an `rng`.
    """
    height, width = clip["image_size"]
    true = clip["joints"][:, SMPL_LIMBS]
    pixels = true[..., :2] / true[..., 2:] * clip["true_focal_length"] + (width / 2, height / 2)
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
        metrics.pa_mpjpe(lift(observations, *weights, undo_swaps=undo).joints[:, SMPL_LIMBS], true)
        for undo in (False, True)
    ]
    return np.array(cells), np.array([np.mean(np.asarray(error)[clip["seen"]]) for error in errors])


def summary(cells: np.ndarray, errors: np.ndarray) -> tuple[float, ...]:
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


def read(folder: pathlib.Path, half: str) -> Iterator[Clip]:
    paths = sorted(folder.glob("clip_*.npz"))
    if not paths:
        raise UserError(
            f"There is no rendered clip in {folder}: make some with python -m hpof_jax.data render."
        )
    for path in paths:
        if half == "all" or int(path.stem.rpartition("_")[2]) % 2 == (half == "odd"):
            with np.load(path, allow_pickle=False) as clip:
                if clip["seen"].any():
                    yield dict(clip)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path, help="made by python -m hpof_jax.data render"
    )
    parser.add_argument("--half", choices=("even", "odd", "all"), default="odd", help="which clips (odd)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    report, weights = {}, (load_weights(), load_body())
    print(f"{'':24}", *(f"{name:>9}" for name in FIGURES))
    for folder in options.folders:
        clips, rng = list(read(folder, options.half)), np.random.default_rng(0)
        for name, dice in (("as seen", [None]), ("injected", [rng] * TIMES)):
            cells, errors = zip(*(judge(clip, rng, weights) for rng in dice for clip in clips))
            row = dict(zip(FIGURES, (len(clips), *summary(np.sum(cells, axis=0), np.array(errors)))))
            report[f"{folder.name}, {name}"] = row
            print(f"{folder.name + ', ' + name:24}", *(f"{value:9.2f}" for value in row.values()))
    return report


if __name__ == "__main__":
    main()
