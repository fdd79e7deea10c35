"""Miniature copies of data sets in their own formats, with a made-up person in a video."""

import pickle

import cv2
import numpy as np
import pytest

from data_pipelines.datasets import observe
from hpof_jax.body.files import load_body
from hpof_jax.body.skeletons import SMPL_PARENTS
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.observe.blazepose import Pose, Region

FRAMES, WIDTH, HEIGHT, FOCAL = 24, 320, 240, 300.0


def pictures(folder, name, count=FRAMES, size=(HEIGHT, WIDTH), first=0):
    """A folder of pictures; the grey of each is its number."""
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / name.format(number + first)), np.full((*size, 3), number, np.uint8))


def a_person(seed=0, frames=FRAMES):
    """SMPL parameters in a world with y up: pose (T, 24, 3), trans (T, 3), betas (10,), and joints (T, 24, 3)."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.1, (1, 24, 3)) + 0.02 * rng.normal(size=(frames, 24, 3)).cumsum(axis=0)
    trans, betas = np.linspace([0.3, 1.0, 0.1], [0.5, 1.0, 0.3], frames), rng.normal(size=10) * 0.5
    return pose, trans, betas, posed(pose, trans, betas)


def posed(pose, trans, betas):
    """The joints (T, 24, 3) of the free body, in NumPy: the tests compile nothing."""
    body = load_body()
    rest = np.asarray(body.J_template, np.float64) + np.tensordot(betas, np.asarray(body.J_shapedirs), axes=1)
    turns, joints = [], []
    for joint, (parent, local) in enumerate(
        zip(SMPL_PARENTS, np.moveaxis(to_matrix(pose), 1, 0), strict=True)
    ):
        bone = rest[joint] - (rest[parent] if parent >= 0 else 0.0)
        turns.append(local if parent < 0 else turns[parent] @ local)
        joints.append(rest[joint] + trans if parent < 0 else joints[parent] + turns[parent] @ bone)
    return np.stack(joints, axis=1)


def a_camera(frames=FRAMES, seed=0):
    """(T, 4, 4) world to camera: 4 m in front of the person, y down, a little turned."""
    angle = 0.1 + 0.01 * np.arange(frames)
    cameras = np.tile(np.eye(4), (frames, 1, 1))
    cos, sin, nothing, one = np.cos(angle), np.sin(angle), np.zeros(frames), np.ones(frames)
    turn = np.stack([cos, nothing, sin, nothing, one, nothing, -sin, nothing, cos], -1).reshape(-1, 3, 3)
    cameras[:, :3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn
    cameras[:, :3, 3] = [-0.2, 1.0, 4.0]
    return cameras


def intrinsics(width=WIDTH, height=HEIGHT):
    return np.array([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1]])


def python2(content):
    """The bytes of a pickle as Python 2 wrote it."""
    return pickle.dumps(content, protocol=2)


class FakeNet:
    """A detector that finds somebody in every region, except in frames whose grey is in `blind`."""

    def __init__(self):
        self.looks, self.blind = [], set()

    def landmarks(self, image, region):
        number = int(image[0, 0, 0])
        self.looks.append((number, region))
        points = np.zeros((33, 3), np.float32)
        points[:, :2] = np.array([region.x, region.y]) + region.size / 2.5 * np.linspace(-1, 1, 33)[:, None]
        points[:, 2] = 0.9
        place = Region(region.x, region.y, region.size, region.angle)
        return Pose(
            landmarks_2d=points,
            landmarks_3d=np.full((33, 3), number, np.float32),
            score=0.0 if number in self.blind else 1.0,
            region=place,
            crop=np.zeros((256, 256, 3), np.uint8),
            to_frame=place.to_frame(),
            mask_logits=np.full((256, 256), 5.0, np.float32),
        )


@pytest.fixture
def net(monkeypatch):
    """The detector of `prepare`, replaced by a fake."""
    from data_pipelines.datasets import prepare

    fake = FakeNet()
    monkeypatch.setattr(prepare, "_net", lambda model: fake)
    assert observe.MASK_SIDE == 64
    return fake


def write_3dpw(raw, name="downtown_cafe_00", split="train", people=2, frames=FRAMES, damage=None):
    """A sequence of 3DPW with the keys, types and nesting of the original. Returns what the people did."""
    made = [a_person(seed, frames) for seed in range(people)]
    cameras = a_camera(frames)
    valid = np.ones(frames, bool)
    valid[:2] = False
    cameras[:2] = np.eye(4)  # where the camera was not aligned
    content = {
        "sequence": name,
        "betas": [np.append(person[2], 0.5) for person in made],  # more than ten
        "poses": [person[0].reshape(frames, 72) for person in made],
        "trans": [person[1] for person in made],
        "jointPositions": [person[3].reshape(frames, 72) for person in made],
        "genders": ["m", "f"][:people],
        "poses2d": [np.zeros((frames, 3, 18)) for _ in made],
        "poses_60Hz": [np.zeros((2 * frames, 72)) for _ in made],
        "trans_60Hz": [np.zeros((2 * frames, 3)) for _ in made],
        "betas_clothed": [np.full(10, 9.0) for _ in made],
        "v_template_clothed": [np.zeros((4, 3)) for _ in made],
        "texture_maps": [],
        "img_frame_ids": np.arange(0, 2 * frames, 2),
        "cam_poses": cameras,
        "campose_valid": [valid.copy() for _ in made],
        "cam_intrinsics": intrinsics(),
    }
    if damage:
        damage(content)
    (raw / "sequenceFiles" / split).mkdir(parents=True, exist_ok=True)
    (raw / "sequenceFiles" / split / f"{name}.pkl").write_bytes(python2(content))
    if not (raw / "imageFiles" / name).exists():
        pictures(raw / "imageFiles" / name, "image_{:05d}.jpg", frames)
    return made, cameras, valid
