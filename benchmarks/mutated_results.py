"""The functions that read results: of other programs, of this one, and of trainings."""

import csv
import json
import pathlib

import numpy as np
from etils import epath
from ml_collections import ConfigDict
from scipy.spatial.transform import Rotation

from benchmarks.door import Door
from benchmarks.foreign_results import Tensor, write
from hpof_jax import batch, data_folders
from hpof_jax.body import keypoint_basis, load_body
from hpof_jax.body.skeletons import SMPL_PARENTS, keypoint_names
from hpof_jax.models.weights import load_weights, save_weights
from hpof_jax.predictions.formats import read_prediction
from hpof_jax.training import checksums

FRAMES, VERTICES = 8, 6890


def _wham(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {"pose": 72, "pose_world": 72, "trans": 3, "trans_world": 3, "betas": 10}
    person = {name: rng.normal(size=(FRAMES, size)).astype(np.float32) for name, size in sizes.items()}
    write(folder / "wham_output.pkl", {0: person | {"frame_ids": np.arange(FRAMES)}})


def _gvhmr(folder: pathlib.Path, kind: str = "torch") -> None:
    rng = np.random.default_rng(0)
    sizes = {"global_orient": 3, "body_pose": 63, "betas": 10, "transl": 3}
    motion = {
        name: Tensor(rng.normal(size=(FRAMES, size)).astype(np.float32)) for name, size in sizes.items()
    }
    write(folder / "hmr4d_results.pt", {"smpl_params_incam": motion}, kind)


def _phalp(folder: pathlib.Path) -> None:
    turns = Rotation.from_rotvec(np.random.default_rng(0).normal(size=(24, 3))).as_matrix()
    smpl = {"global_orient": turns[:1], "body_pose": turns[1:], "betas": np.zeros(10)}
    frame = {"tid": [1], "smpl": [smpl], "camera": [np.float64([0, 0, 4])], "tracked_time": [0]}
    content = {f"{number:06d}.jpg": frame | {"time": number} for number in range(FRAMES)}
    write(folder / "demo.pkl", content, "compressed")


def _amass(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    arrays = dict(
        poses=rng.normal(size=(FRAMES, 156)), trans=rng.normal(size=(FRAMES, 3)), betas=np.zeros(16)
    )
    np.savez(folder / "walk.npz", **arrays, mocap_framerate=np.array(60.0), gender=np.array("male"))


def _regressor(folder: pathlib.Path) -> None:
    """A regressor and a body with as many vertices as SMPL, both symmetric: the second half mirrors the first."""
    rng = np.random.default_rng(0)
    half = np.abs(rng.normal(size=(VERTICES // 2, 3)))
    rows = []
    for point in keypoint_names("h36m17"):
        side = point.split("_")[0]
        seed = sum(map(ord, point.removeprefix(f"{side}_")))  # the same for the left and the right point
        weights = np.random.default_rng(seed).dirichlet(np.full(VERTICES // 2, 0.05))
        left, right = {"left": (1, 0), "right": (0, 1)}.get(side, (0.5, 0.5))
        rows.append(np.concatenate([left * weights, right * weights]))
    np.save(folder / "J_regressor_h36m.npy", np.float32(rows))
    np.savez(
        folder / "smpl.npz",
        v_template=np.concatenate([half, half * (-1, 1, 1)]),
        shapedirs=np.zeros((VERTICES, 3, 10)),
        posedirs=np.zeros((VERTICES, 3, 0)),
        J_regressor=np.full((24, VERTICES), 1 / VERTICES),
        weights=np.eye(24)[rng.integers(0, 24, VERTICES)],
        kintree_table=np.stack([np.array(SMPL_PARENTS).astype(np.uint32), np.arange(24, dtype=np.uint32)]),
        f=rng.integers(0, VERTICES, (90, 3), dtype=np.uint32),
    )


def _open_regressor(path: pathlib.Path) -> None:
    if not _BODY:
        _BODY.append(load_body(path.with_name("smpl.npz")))
    keypoint_basis(_BODY[0], "h36m17", path)


_BODY: list = []


def _table(folder: pathlib.Path) -> None:
    rows = [batch.Row(f"video {n}.mp4", "a" * 16, "230", "0.95", "31.0") for n in range(FRAMES)]
    batch.write_table(folder / "table.csv", rows)
    with (folder / "table.csv").open("a", newline="") as file:  # a killed program left this
        csv.writer(file).writerow(["unfinished"])


def _run(folder: pathlib.Path) -> None:
    """The folder of a training, with two checkpoints as far as `load_weights` and checksums look."""
    config = ConfigDict({"model": {"name": "hpof", "width": 8}})
    for part in ("", "checkpoints/1", "checkpoints/2"):
        (folder / part / "metrics").mkdir(parents=True, exist_ok=True)
        save_weights(folder / part / "weights.npz", {"layer": {"bias": np.zeros(3, np.float32)}}, config)
        (folder / part / "metrics" / "metrics").write_text(json.dumps({"mpjpe": 70.5}))
        (folder / part / "_CHECKPOINT_METADATA").write_text(json.dumps({"item": 1}))
        checksums.write(epath.Path(folder / part))
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')


def _ablation(folder: pathlib.Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model": {"channels": 8}, "num_steps": 10}, indent=2))
    run = folder / "dilated" / "seed_0"
    run.mkdir(parents=True)
    scores = {"mpjpe": 71.5, "pa_mpjpe": 50.5}
    (run / "result.json").write_text(json.dumps({"domains": {"synthetic": scores}}, indent=2))


def _open_ablation(path: pathlib.Path) -> None:
    from hpof_jax import ablate

    ablate._claim(path.parent, ConfigDict({"model": {"channels": 8}, "num_steps": 10, "seed": 0}))


def _open_ablation_result(path: pathlib.Path) -> None:
    from hpof_jax import ablate

    ablate.read_result(path, ["synthetic"])


def _collection(folder: pathlib.Path) -> None:
    from data_pipelines.render import collection

    collection._open_collection(folder, collection.Options(motions=("synthetic",)))


def _data_set(folder: pathlib.Path) -> None:
    split = {"name": "train", "shardLengths": ["3"], "numBytes": "100"}
    (folder / "dataset_info.json").write_text(json.dumps({"name": "motion", "splits": [split]}, indent=1))


DOORS = {
    "prediction_npz": Door("walk.npz", "npz", _amass, read_prediction),
    "prediction_wham": Door("wham_output.pkl", "bytes", _wham, read_prediction),
    "prediction_gvhmr": Door("hmr4d_results.pt", "zip_bytes", _gvhmr, read_prediction),
    "torch_legacy": Door(
        "hmr4d_results.pt", "bytes", lambda folder: _gvhmr(folder, "legacy"), read_prediction
    ),
    "prediction_4dhumans": Door("demo.pkl", "bytes", _phalp, read_prediction),
    "regressor": Door("J_regressor_h36m.npy", "npy", _regressor, _open_regressor),
    "batch_table": Door("table.csv", "text", _table, batch.read_table),
    "run": Door("weights.npz", "npz", _run, lambda path: load_weights(path.parent), must_read=True),
    "run_metrics": Door(
        "checkpoints/1/metrics/metrics",
        "text",
        _run,
        lambda path: [path.parents[3].joinpath("weights.npz").unlink(), load_weights(path.parents[3])],
        must_read=True,
    ),
    "checksums": Door(
        "checksums.json",
        "text",
        _run,
        lambda path: checksums.find_damage(epath.Path(path.parent)),
        must_read=True,
    ),
    "run_folder": Door(
        "weights.npz", "npz", _run, lambda path: data_folders.inspect(path.parent), must_read=True
    ),
    "ablation_config": Door("config.json", "text", _ablation, _open_ablation),
    "ablation_result": Door("dilated/seed_0/result.json", "text", _ablation, _open_ablation_result),
    "manifest": Door("manifest.json", "text", _collection, lambda path: _collection(path.parent)),
    "data_set_info": Door(
        "dataset_info.json", "text", _data_set, lambda path: data_folders.inspect(path.parent), must_read=True
    ),
}
