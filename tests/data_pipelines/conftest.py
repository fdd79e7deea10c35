import jax
import numpy as np
import pytest

from data_pipelines import sources
from data_pipelines.motion.clip import MotionClip
from data_pipelines.motion.synthetic import sample_poses
from data_pipelines.observed.rendered import clip_path, write_clip
from data_pipelines.render import scene
from data_pipelines.simulate.camera import CameraRange
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.simulate.observations import simulate
from hpof_jax.body.files import load_body
from hpof_jax.body.model import keypoints
from hpof_jax.geometry.camera import box_from_keypoints, project
from hpof_jax.geometry.rotations import axis_angle_to_matrix

SHOT_FRAMES = 12
# One shape for all batches, because every other one is compiled anew.
BATCH, FRAMES = 8, 12
LENGTH = 20  # frames in a clip of a collection
FLOW = 4  # frames with optical flow


@pytest.fixture(scope="session")
def shots():
    """A motion in the world, and shots of it: one by a camera on a tripod, one by a hand."""
    pose, transl = (array[0] for array in sample_poses(np.random.default_rng(0), SHOT_FRAMES, 1))
    betas = np.linspace(-1, 1, 10)
    made = {
        name: scene.shoot(np.random.default_rng(1), load_body(), pose, transl, betas, CameraRange(**options))
        for name, options in {
            "tripod": dict(handheld_share=0.0, follow_share=0.0),
            "hand": dict(handheld_share=1.0, handheld=4.0),
        }.items()
    }
    return pose, transl, betas, made


def make_clips(folder, count=5, validation=(4,), unseen=(), flow=False):
    """Writes clips of a perfect detector to a folder, and returns them as a batch.

    Clips in `unseen` show nobody. With `flow`, the flow of each frame is its number to the right, in pixels, and the
    masks are the left half of each box.
    """
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.2, (count, LENGTH, 24, 3)).astype(np.float32)
    transl = np.cumsum(rng.normal(0, 0.01, (count, LENGTH, 3)), axis=1).astype(np.float32)
    betas = rng.normal(size=(count, 10)).astype(np.float32)
    made = simulate(
        jax.random.key(0),
        load_body(),
        pose,
        transl,
        betas,
        DetectorNoise.none(),
        CameraRange(close_share=0.0),
    )
    made = {key: np.asarray(value) for key, value in made.items()}
    folder.mkdir(exist_ok=True)
    for number in range(count):
        clip = {key: value[number] for key, value in made.items()}
        clip["seen"] = clip["seen"] & (number not in unseen)
        clip |= {
            "name": np.array(f"{number}.bvh"),
            "motion_class": np.array("walk" if number % 2 else "jump"),
        }
        write_clip(
            clip_path(folder, number),
            clip | {"validation": np.array(number in validation)} | (_stored_flow(clip) if flow else {}),
        )
    return made


def _stored_flow(clip):
    box = np.asarray(box_from_keypoints(clip["landmarks_2d"])) * clip["seen"][:, None]
    corner = box[:, :2] - box[:, 2:] / 2
    mask = np.zeros((LENGTH, 64, 64), np.uint8)
    mask[..., :32] = 255
    moves = np.zeros((LENGTH - 1, 2, 64, 64, 2), np.float16)
    moves[..., 0] = np.arange(LENGTH - 1)[:, None, None, None] + 1
    return {
        "flow": moves,
        "flow_valid": np.ones(moves.shape[:-1], bool),
        "flow_box": box,
        "masks": mask,
        "mask_to_frame": np.concatenate([box[:, 2:, None] * np.eye(2), corner[..., None]], axis=-1),
        "fps": np.float32(30),
    }


def make_clip(name, motion_class, frames, betas=None):
    """A motion clip of small random rotations."""
    pose = np.random.default_rng(frames).normal(0, 0.1, (frames, 24, 3)).astype(np.float32)
    transl = np.tile(np.float32([0, 1, 0]), (frames, 1))
    return MotionClip(name, motion_class, pose, transl, betas)


@pytest.fixture
def recordings(monkeypatch):
    """The source "bvh:recordings", in every split: three clips of 20, 12 and 5 frames, the last with betas."""
    clips = [
        make_clip("a.bvh", "walk", LENGTH),
        make_clip("b.bvh", "punch", FRAMES),
        make_clip("c.bvh", "punch", 5, np.full(10, 0.5, np.float32)),
    ]
    monkeypatch.setattr(sources, "load_source", lambda spec, split: clips if spec == "bvh:recordings" else [])
    sources.open_source.cache_clear()
    yield clips
    sources.open_source.cache_clear()


def assert_same(a, b):
    """Two batches are equal in every key."""
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of rendered clips: 0 to 3 of the training split, 4 of the validation split."""
    folder = tmp_path_factory.mktemp("rendered")
    make_clips(folder)
    return folder


@pytest.fixture(scope="session")
def flowing(tmp_path_factory):
    """The same clips with stored optical flow."""
    folder = tmp_path_factory.mktemp("flowing")
    make_clips(folder, flow=True)
    return folder


def pixels(batch):
    """The true landmarks in the camera frame, and their pixels."""
    return _pixels(load_body(), batch)


@jax.jit
def _pixels(body, batch):
    rotations = axis_angle_to_matrix(batch["pose"])
    points, _ = keypoints(body, body.landmarks, batch["betas"][:, None], rotations, batch["transl"])
    size = batch["image_size"][:, None, None]
    return points, project(points, batch["true_focal_length"][:, None, None], size)
