"""Metrics of a model over a validation set, overall and per motion class."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel, posed_joints, skin
from hpof_jax.body.skeletons import BLAZEPOSE_LIMBS, SMPL_LIMBS, SMPL_PARENTS
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.hpof import HPOF
from hpof_jax.models.pooling import masked_mean
from hpof_jax.training import metrics, steps
from hpof_jax.training.bootstrap import interval


def make_totals(
    model: HPOF, body: BodyModel, vertices: bool = False, raw: bool = True, hide_3d: bool = False
) -> Callable[[Any, Mapping], dict[str, jax.Array]]:
    """The compiled function that `evaluate` runs on each batch.

    Args:
      vertices: also the per-vertex error, which takes most of the time.
      raw: the raw prediction; else with flip test-time augmentation and smoothing, as in a reconstruction.
      hide_3d: the detector's 3D landmarks are withheld from the model.

    Returns:
      `totals(params, batch)`: metric -> (B, 2), the sum over the valid frames of each clip and their number.
    """
    predict = steps.make_eval_step(model, body, raw, hide_3d)

    def step(params: Any, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
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
            observed = mask & seen
            totals["limb_pa_mpjpe"] = metrics.total(metrics.pa_mpjpe(pred[:, SMPL_LIMBS], limbs), observed)
            totals["limb_n_mpjpe"] = metrics.total(metrics.n_mpjpe(pred[:, SMPL_LIMBS], limbs), observed)
            totals["detector_pa_mpjpe"] = metrics.total(metrics.pa_mpjpe(detector, limbs), observed)
            totals["detector_n_mpjpe"] = metrics.total(metrics.n_mpjpe(detector, limbs), observed)
            neighbours = metrics.acceleration_mask(observed)
            error = metrics.acceleration_error(
                detector, limbs - jnp.mean(limbs[:, 6:8], axis=1, keepdims=True)
            )
            totals["detector_acceleration_error"] = metrics.total(error, neighbours)
            totals["coverage"] = metrics.total(100.0 * observed, mask)
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


def evaluate(
    totals: Callable,
    params: Any,
    sources: Mapping[str, Iterable],
    gather: Callable[[Any], list] = lambda value: [value],
) -> dict[str, dict]:
    """Metrics of a model over the validation windows of each source.

    Args:
      totals: as `make_totals` returns it.
      params: of the model.
      sources: name -> windows, as `data_pipelines.validation.validation_windows` yields them:
        (batch, names, classes).
      gather: `processes.gather` where each process has its share of the windows; all get the same result.

    Returns:
      {"overall": {...}, "classes": {class: {...}}, "sources": {source: {...}}, "sequences": {clip: {...}},
      "intervals": {metric: [low, high]}}. Each metric is a mean over frames, in millimetres; betas have their
      own unit. Intervals are those of "overall", of 95 %, by bootstrap over clips; a single clip has none. `limb_*` and `detector_*` are errors of the model and
      of the detector's own 3D landmarks on the 12 limb joints. `frames` and `clips` count the evaluated ones,
      `coverage` is the percentage of frames in which the detector found the person.
    """
    sums: dict[tuple[str, str], dict[str, np.ndarray]] = collections.defaultdict(dict)
    clips: dict[tuple[str, str], set] = collections.defaultdict(set)
    for source, windows in sources.items():
        rows = []
        for batch, names, classes in windows:
            found = {key: np.asarray(value, np.float64) for key, value in totals(params, batch).items()}
            for index, (name, motion_class) in enumerate(zip(names, classes, strict=True)):
                if name:  # else padding of the last batch
                    values = {key: value[index].tolist() for key, value in found.items()}
                    rows.append((name, motion_class, values))
        for name, motion_class, values in _in_order(gather(rows)):
            clip = f"{source}/{name}"
            for group in (
                ("overall", ""), ("classes", motion_class), ("sources", source), ("sequences", clip)
            ):  # fmt: skip
                clips[group].add((source, name))
                for key, value in values.items():
                    sums[group][key] = sums[group].get(key, 0.0) + np.array(value)
    tables: dict[str, dict] = {"overall": {}, "classes": {}, "sources": {}, "sequences": {}}
    for (kind, group), values in sums.items():
        tables[kind][group] = _table(values, len(clips[kind, group]))
    return {
        "overall": tables["overall"].get("", {}),
        "classes": dict(sorted(tables["classes"].items())),
        "sources": tables["sources"],
        "sequences": tables["sequences"],
        "intervals": _intervals([values for (kind, _), values in sums.items() if kind == "sequences"]),
    }


def _intervals(clips: list[dict[str, np.ndarray]]) -> dict[str, list[float]]:
    """Metric -> [low, high], of the totals of each clip."""
    keys = clips[0] if clips else ()
    ends = {key: interval(np.stack([clip[key] for clip in clips])) for key in keys}
    return {key: [low, high] for key, (low, high) in ends.items() if np.isfinite(low)}


def _in_order(shares: list[list[tuple]]) -> Iterator[tuple]:
    """The rows of all processes, clip by clip, in the order in which one process would have them."""
    clips = [[list(rows) for _, rows in itertools.groupby(share, key=lambda row: row[0])] for share in shares]
    for one_of_each in itertools.zip_longest(*clips, fillvalue=()):
        for rows in one_of_each:
            yield from rows


def _once(value: jax.Array) -> jax.Array:
    """The total of one value for the whole clip."""
    return jnp.stack([value, jnp.ones_like(value)])


def _table(sums: dict[str, np.ndarray], clips: int) -> dict[str, float]:
    table = {key: metrics.mean(value) for key, value in sums.items()}
    return {**table, "frames": float(sums["mpjpe"][1]), "clips": float(clips)}
