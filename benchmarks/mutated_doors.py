"""Every function of the package that reads a user's file, each with a valid file: `DOORS`."""

import hashlib
import json
import pathlib
import pickle
import shutil
import struct
import tarfile
import zipfile
from unittest import mock

import numpy as np

from benchmarks import mutated_datasets, mutated_results, mutated_videos
from benchmarks.door import Door
from benchmarks.small_bvh import CHANNELS, bvh_text
from hpof_jax import downloads
from hpof_jax.body.files import load_body, save_body
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.models.weights import load_weights
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.optical_flow import read_flow

FRAMES, HEIGHT, WIDTH = 8, 6, 8
_DOWNLOADED = b"content" * 100


# --- valid files ------------------------------------------------------------------------------------


def _motion(folder: pathlib.Path) -> None:
    rng, count = np.random.default_rng(0), FRAMES
    Motion(
        poses=rng.normal(size=(count, 72)),
        betas=rng.normal(size=10),
        trans=rng.normal(size=(count, 3)),
        mocap_framerate=30.0,
        gender="neutral",
        joints=rng.normal(size=(count, 24, 3)),
        keypoints_2d=rng.normal(size=(count, 33, 3)),
        cam=np.ones((count, 3)),
        box=np.ones((count, 3)),
        frame_index=np.arange(count),
        confidence=np.full(count, 0.9),
        image_size=(480, 640),
        focal_length=600.0,
        body="free body",
    ).save(folder / "motion.npz")


def _observations() -> dict[str, np.ndarray]:
    rng, count = np.random.default_rng(0), FRAMES
    landmarks = rng.uniform(100, 400, (count, 33, 3)).astype(np.float32)
    return {
        "landmarks_2d": landmarks,
        "landmarks_3d": landmarks / 1000,
        "seen": np.ones(count, bool),
        "image_size": np.float32([480, 640]),
        "focal_length": np.float32(600),
        "fps": np.float32(30),
        "masks": np.full((count, 16, 16), 255, np.uint8),
        "mask_to_frame": np.tile(np.float32([[200, 0, 100], [0, 200, 100]]), (count, 1, 1)),
        "flow": np.ones((count - 1, 2, 64, 64, 2), np.float16),
        "flow_valid": np.ones((count - 1, 2, 64, 64), bool),
        "flow_box": np.full((count, 3), 200, np.float32),
    }


def _weights(folder: pathlib.Path) -> None:
    layer = {"layer/kernel": np.ones((3, 4), np.float32), "layer/bias": np.zeros(4, np.float32)}
    config = json.dumps({"name": "hpof", "width": 8, "dilations": [1, 3]})
    np.savez_compressed(folder / "weights.npz", config=np.array(config), **layer)


def _body(folder: pathlib.Path) -> None:
    save_body(_small_body(folder), folder / "body.npz")


def _small_body(folder: pathlib.Path):
    path = folder / "small.npz"
    np.savez(path, **_body_arrays())
    body = load_body(path)
    path.unlink()
    return body


def _body_arrays() -> dict[str, np.ndarray]:
    rng, vertices = np.random.default_rng(0), 60
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(size=(vertices, 3, 10)),
        "posedirs": np.zeros((vertices, 3, 0)),
        "J_regressor": rng.dirichlet(np.full(vertices, 0.05), 24),
        "weights": rng.dirichlet(np.full(24, 0.1), vertices),
        "kintree_table": np.stack([np.array(SMPL_PARENTS).astype(np.uint32), np.arange(24, dtype=np.uint32)]),
        "f": rng.integers(0, vertices, (90, 3), dtype=np.uint32),
        "landmark_regressor": rng.dirichlet(np.ones(vertices), 33),
    }


def _pickled_body(folder: pathlib.Path) -> None:
    (folder / "body.pkl").write_bytes(pickle.dumps(_body_arrays(), protocol=2))


def _amass(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("walk_poses.npz", "good_poses.npz"):
        np.savez(
            folder / name,
            poses=0.1 * rng.normal(size=(FRAMES, 156)),
            trans=rng.normal(size=(FRAMES, 3)),
            betas=np.zeros(16),
            mocap_framerate=np.array(120.0),
            gender=np.array("male"),
        )


def _bvh_text() -> str:
    numbers = np.random.default_rng(0).normal(0, 5, (FRAMES, CHANNELS)).round(3)
    numbers[:, 1] += 94
    return bvh_text(numbers)


def _bvh(folder: pathlib.Path) -> None:
    for name in ("walk_1.bvh", "good_1.bvh"):
        (folder / name).write_text(_bvh_text())


def _bvh_zip(folder: pathlib.Path) -> None:
    with zipfile.ZipFile(folder / "mocap.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("inside/walk_1.bvh", "inside/run_1.bvh"):
            archive.writestr(name, _bvh_text())


def _fields() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, HEIGHT, WIDTH, 2)).astype(np.float32)


def _flo(folder: pathlib.Path) -> None:
    for number, field in enumerate(_fields()):
        head = struct.pack("<fii", 202021.25, WIDTH, HEIGHT)
        (folder / f"flow{number}.flo").write_bytes(head + field.tobytes())


def _rendered(folder: pathlib.Path) -> None:
    clip = _observations() | {
        "pose": np.zeros((FRAMES, 24, 3), np.float32),
        "transl": np.ones((FRAMES, 3), np.float32),
        "betas": np.zeros(10, np.float32),
        "true_focal_length": np.float32(600),
        "name": np.array("a.bvh"),
        "motion_class": np.array("walk"),
        "validation": np.array(False),
    }
    for number in range(2):
        np.savez_compressed(folder / f"clip_{number:06d}.npz", **clip)


def _motion_cache(folder: pathlib.Path) -> None:
    (folder / "mocap").mkdir()
    (folder / "mocap" / "walk_1.bvh").write_text(_bvh_text())
    with _cache(folder):
        _load_source(f"bvh:{folder / 'mocap'}")
    (stored,) = (folder / "cache" / "motion").iterdir()
    stored.rename(folder / "stored.npz")


def _observation_cache(folder: pathlib.Path) -> None:
    (folder / "clip.mp4").write_bytes(b"a video")
    np.savez_compressed(folder / "stored.npz", **_observations())


def _records(folder: pathlib.Path) -> None:
    from data_pipelines.motion.clip import MotionClip
    from data_pipelines.motion.tfds import write_records

    zeros = np.zeros((FRAMES, 24, 3), np.float32), np.zeros((FRAMES, 3), np.float32)
    write_records({"train": [MotionClip(f"walk_{n}", "walk", *zeros) for n in range(3)]}, folder / "motion")


def _wheel(folder: pathlib.Path) -> None:
    with zipfile.ZipFile(folder / "models-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("models/a.bin", "models/b.bin"):
            archive.writestr(name, _DOWNLOADED)


def _npm(folder: pathlib.Path) -> None:
    (folder / "heavy.bin").write_bytes(_DOWNLOADED)
    with tarfile.open(folder / "models.tgz", "w:gz") as archive:
        archive.add(folder / "heavy.bin", "models/a.bin")


# --- how they are opened ----------------------------------------------------------------------------


def _cache(folder: pathlib.Path):
    return mock.patch.dict("os.environ", HPOF_JAX_CACHE=str(folder / "cache"))


def _load_source(spec: str, cache: bool = True) -> None:
    from data_pipelines.motion.load import load_source

    load_source(spec, cache=cache)


def _open_rendered(path: pathlib.Path) -> None:
    from data_pipelines.observed.rendered import RenderedClips

    clips = RenderedClips(path.parent, "all")
    rng = np.random.default_rng(0)
    clips.draw_batch(rng, 4, 4, False, flow_frames=2)
    list(clips.windows(4, None))


def _open_motion_cache(path: pathlib.Path) -> None:
    folder = path.parent
    names = []
    with _cache(folder), mock.patch("data_pipelines.motion.load._fingerprint", lambda *_: "stored"):
        (folder / "cache" / "motion").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "cache" / "motion" / "bvh-stored.npz")
        for _ in range(2):
            from data_pipelines.motion.load import load_source

            names.append([clip.name for clip in load_source(f"bvh:{folder / 'mocap'}")])


def _open_observation_cache(path: pathlib.Path) -> None:
    from hpof_jax.observe import cache

    def observe(video, **options):
        return Observations(**_observations())

    folder = path.parent
    with _cache(folder), mock.patch.object(cache, "observe", observe):
        cache.observe_cached(folder / "clip.mp4")
        for stored in (folder / "cache" / "observations").iterdir():
            shutil.copyfile(path, stored)
        cache.observe_cached(folder / "clip.mp4")


def _open_records(path: pathlib.Path) -> None:
    from data_pipelines.motion.tfds import read_records

    read_records(path.parents[1])


def _open_download(path: pathlib.Path) -> None:
    npm = path.suffix == ".tgz"
    package = downloads.Package("models", "1.0", "CC0", "the models", from_npm=npm)
    digest = hashlib.sha256(_DOWNLOADED).hexdigest()
    pins = {"a": downloads.Pinned(package, {"models/a.bin": digest})}
    with _cache(path.parent), mock.patch.object(downloads, "PINNED", pins):
        with mock.patch.object(downloads, "_get_archive", lambda *_: path):
            downloads.fetch("a")


def _open_flow(path: pathlib.Path) -> None:
    list(read_flow(path if path.suffix != ".flo" else path.parent, 2, (HEIGHT, WIDTH)))


DOORS = {
    "motion": Door("motion.npz", "npz", _motion, Motion.load),
    "observations": Door(
        "seen.npz",
        "npz",
        lambda folder: np.savez_compressed(folder / "seen.npz", **_observations()),
        Observations.load,
    ),
    "weights": Door("weights.npz", "npz", _weights, load_weights),
    "body_npz": Door("body.npz", "npz", _body, load_body),
    "body_pickle": Door("body.pkl", "bytes", _pickled_body, load_body),
    "amass": Door(
        "walk_poses.npz",
        "npz",
        _amass,
        lambda path: _load_source(f"amass:{path.parent}", cache=False),
        must_read=True,
    ),
    "bvh": Door(
        "walk_1.bvh",
        "text",
        _bvh,
        lambda path: _load_source(f"bvh:{path.parent}", cache=False),
        must_read=True,
    ),
    "bvh_zip": Door("mocap.zip", "zip", _bvh_zip, lambda path: _load_source(f"bvh:{path}", cache=False)),
    "flow_npy": Door("flow.npy", "npy", lambda folder: np.save(folder / "flow.npy", _fields()), _open_flow),
    "flow_npz": Door("flow.npz", "npz", lambda folder: np.savez(folder / "flow.npz", _fields()), _open_flow),
    "flow_flo": Door("flow0.flo", "bytes", _flo, _open_flow),
    "rendered": Door("clip_000000.npz", "npz", _rendered, _open_rendered, must_read=True),
    "motion_cache": Door("stored.npz", "npz", _motion_cache, _open_motion_cache, must_read=True),
    "observation_cache": Door(
        "stored.npz", "npz", _observation_cache, _open_observation_cache, must_read=True
    ),
    "records": Door("motion/1.0.0/motion-train.tfrecord-00000-of-00001", "tfrecord", _records, _open_records),
    "records_features": Door("motion/1.0.0/features.json", "text", _records, _open_records),
    "records_info": Door("motion/1.0.0/dataset_info.json", "text", _records, _open_records),
    "wheel": Door("models-1.0-py3-none-any.whl", "zip", _wheel, _open_download),
    "npm": Door("models.tgz", "bytes", _npm, _open_download),
    **mutated_results.DOORS,
    **mutated_datasets.DOORS,
    **mutated_videos.DOORS,
}
