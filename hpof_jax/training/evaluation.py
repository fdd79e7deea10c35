"""Metrics of a model over a validation set, overall and per motion class."""

import collections
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, posed_joints, skin
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, SMPL_LIMBS, SMPL_PARENTS
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.pooling import masked_mean
from hpof_jax.training import metrics, steps


def make_totals(
    model: Any, body: BodyModel, vertices: bool = False, raw: bool = True, hide_3d: bool = False
) -> Callable[[Any, Mapping], dict[str, jax.Array]]:
    """The compiled function (params, batch) -> totals that `evaluate` runs; made once, it is compiled once.

    Args:
      vertices: also the per-vertex error, which is most of the work.
      raw: the raw prediction; else with flip test-time augmentation and smoothing, as in a reconstruction.
      hide_3d: whether the detector's 3D landmarks are hidden from the model.
    """
    predict = steps.make_eval_step(model, body, raw, hide_3d)

    def step(params: Any, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Totals of every metric for each clip: name -> (B, 2)."""
        prediction = predict(params, batch)
        rotations = axis_angle_to_matrix(batch["pose"])
        pred = posed_joints(body, prediction.betas, prediction.rotations)
        true = posed_joints(body, batch["betas"][:, None], rotations)
        detector, limbs = batch["landmarks_3d"][..., BLAZEPOSE_LIMBS, :], true[..., SMPL_LIMBS, :]

        def per_clip(
            pred, true, detector, limbs, mask, seen, betas, true_betas, pred_rotations, true_rotations
        ):
            totals = metrics.joint_totals(pred, true, mask)
            totals["bone_spread"] = _once(jnp.mean(metrics.bone_length_spread(pred, SMPL_PARENTS, mask)))
            totals["betas_spread"] = _once(jnp.mean(metrics.spread(betas, mask)))
            totals["betas_error"] = _once(jnp.mean(masked_mean(jnp.abs(betas - true_betas), mask)))
            looked = mask & seen
            totals["limb_pa_mpjpe"] = metrics.total(metrics.pa_mpjpe(pred[:, SMPL_LIMBS], limbs), looked)
            totals["limb_n_mpjpe"] = metrics.total(metrics.n_mpjpe(pred[:, SMPL_LIMBS], limbs), looked)
            totals["detector_pa_mpjpe"] = metrics.total(metrics.pa_mpjpe(detector, limbs), looked)
            totals["detector_n_mpjpe"] = metrics.total(metrics.n_mpjpe(detector, limbs), looked)
            neighbours = metrics.acceleration_mask(looked)
            error = metrics.acceleration_error(
                detector, limbs - jnp.mean(limbs[:, 6:8], axis=1, keepdims=True)
            )
            totals["detector_acceleration_error"] = metrics.total(error, neighbours)
            totals["coverage"] = metrics.total(100.0 * looked, mask)
            if vertices:

                def frame(pair):
                    (a, ja), (b, jb) = skin(body, *pair[0]), skin(body, true_betas, pair[1])
                    return metrics.pve(a, b, ja[0], jb[0])

                pairs = (betas, pred_rotations), true_rotations
                totals["pve"] = metrics.total(jax.lax.map(frame, pairs), mask)
            return totals

        betas = prediction.betas
        betas = jnp.broadcast_to(betas, (*batch["mask"].shape, betas.shape[-1]))
        return jax.vmap(per_clip)(
            pred, true, detector, limbs, batch["mask"], batch["seen"], betas, batch["betas"],
            prediction.rotations, rotations,
        )  # fmt: skip

    return jax.jit(step)


def evaluate(totals: Callable, params: Any, sources: Mapping[str, Iterable]) -> dict[str, dict]:
    """Runs a model over the validation windows of each source.

    Args:
      totals: of `make_totals`.
      sources: name -> windows, as `data_pipelines.validation.validation_windows` yields them: (batch, names, classes).

    Returns:
      {"overall": {...}, "classes": {class: {...}}, "sources": {source: {...}}}: millimetres (betas: their own unit), each a
      mean over frames; the detector's own 3D landmarks are scored beside on the 12 limb joints, as `detector_*` against
      `limb_*`. `frames` and `clips` say how much was counted, `coverage` the share of frames in which the detector saw
      anyone.
    """
    sums: dict[tuple[str, str], dict[str, np.ndarray]] = collections.defaultdict(dict)
    clips: dict[tuple[str, str], set] = collections.defaultdict(set)
    for source, windows in sources.items():
        for batch, names, classes in windows:
            found = {key: np.asarray(value, np.float64) for key, value in totals(params, batch).items()}
            for index, (name, motion_class) in enumerate(zip(names, classes, strict=True)):
                if not name:  # the last batch is filled up with nothing
                    continue
                for group in (("overall", ""), ("classes", motion_class), ("sources", source)):
                    clips[group].add((source, name))
                    for key, value in found.items():
                        sums[group][key] = sums[group].get(key, 0.0) + value[index]
    tables: dict[str, dict] = {"overall": {}, "classes": {}, "sources": {}}
    for (kind, group), values in sums.items():
        tables[kind][group] = _table(values, len(clips[kind, group]))
    return {
        "overall": tables["overall"].get("", {}),
        "classes": dict(sorted(tables["classes"].items())),
        "sources": tables["sources"],
    }


def _once(value: jax.Array) -> jax.Array:
    return jnp.stack([value, jnp.ones_like(value)])


def _table(sums: dict[str, np.ndarray], clips: int) -> dict[str, float]:
    table = {key: metrics.mean(value) for key, value in sums.items()}
    return {**table, "frames": float(sums["mpjpe"][1]), "clips": float(clips)}
