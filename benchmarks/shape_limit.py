"""How well proportions alone tell the stature of the free body: a limit for one camera, which does not know sizes.

    python -m benchmarks.shape_limit [--json FILE]

Random bodies. A linear regression predicts the stature from the logarithms of the bones' lengths, less their mean, so
that the size of the body is not seen; then from the widths of hips, waist and chest, too. `noise` is the standard
deviation of the errors that are added to each logarithm, %. `error` is the mean absolute error on other bodies, mm; `r`
is the correlation of predicted and true.
"""

import argparse

import numpy as np

from benchmarks.program import print_row, program
from benchmarks.shape import lengths
from hpof_jax.body import BodyModel, load_body

BODIES, HELD_OUT = 6_000, 2_000
NOISES = (0.0, 1.0, 2.0, 3.0, 5.0)  # %
# Heights above the pelvis, metres, between which the hips, the waist and the chest of the rest pose are measured.
LEVELS = ((-0.05, 0.02), (0.10, 0.15), (0.30, 0.35))
TRUNK = 0.2  # metres to each side; beyond are the arms
FIGURES = ("noise", "error", "r")


def widths(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """The widths of the trunk at `LEVELS`, (N, 3) metres, of shapes (N, 10)."""
    template, shapes = np.asarray(body.v_template, np.float64), np.asarray(body.shapedirs, np.float64)
    found = []
    for low, high in LEVELS:
        level = (low < template[:, 1]) & (template[:, 1] < high) & (np.abs(template[:, 0]) < TRUNK)
        found.append(np.ptp(template[level, 0] + betas @ shapes[level, 0].T, axis=1))
    return np.stack(found, axis=1)


def limit(
    features: np.ndarray, target: np.ndarray, noise: float, rng: np.random.Generator
) -> dict[str, float]:
    """`FIGURES` of a regression of the target (N,) from features (N, F), whose mean is taken away."""
    features = features + 0.01 * noise * rng.normal(size=features.shape)
    features = features - features.mean(axis=1, keepdims=True)
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    found, *_ = np.linalg.lstsq(inputs[HELD_OUT:], target[HELD_OUT:], rcond=None)
    predicted, true = inputs[:HELD_OUT] @ found, target[:HELD_OUT]
    error = float(np.abs(predicted - true).mean())
    return {"noise": noise, "error": error, "r": float(np.corrcoef(predicted, true)[0, 1])}


@program(__doc__)
def main(options: argparse.Namespace) -> dict:
    rng, body, report = np.random.default_rng(0), load_body(), {}
    betas = rng.normal(size=(BODIES, 10))
    measured = lengths(body, betas)
    stature = measured.pop("stature")
    bones = np.log(np.stack([*measured.values()], axis=1))
    trunk = np.log(widths(body, betas))
    print(f"mean shape: error {np.abs(stature - np.median(stature)).mean():.1f} mm")
    for name, features in {
        "bones": bones,
        "bones and widths": np.concatenate([bones, trunk], axis=1),
    }.items():
        rows = report[name] = [limit(features, stature, noise, rng) for noise in NOISES]
        print_row(name, FIGURES)
        for row in rows:
            print_row("", row.values(), decimals=2)
    return report


if __name__ == "__main__":
    main()
