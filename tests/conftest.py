"""Set before anything imports JAX: the tests run on eight fake CPU devices and compile fast rather than well.

JAX's rank promotion stays allowed: our functions take any leading axes, which is that promotion.
"""

import atexit
import importlib.metadata
import os
import shutil
import tempfile

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Nearly all of the tests' time would be LLVM's: programs compile without optimisations and, where jaxlib still has
# the choice, with the older emitters, which take half as long. Each program is compiled once, small ones included,
# whichever process needs it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if importlib.metadata.version("jaxlib").startswith("0.10."):  # an unknown flag ends the process
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="hpof_jax_compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.fixture
def in_empty_folder(monkeypatch, tmp_path):
    """The working folder is `tmp_path`: whatever lies in the clone, such as a `clip.mp4`, is not found."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def small_motion():
    """A motion of the free body in 5 frames at uneven times: it stands upright, 4 m from the camera, and moves."""
    import numpy as np

    from hpof_jax.body import load_body
    from hpof_jax.body.skeletons import SMPL_PARENTS
    from hpof_jax.geometry.numpy_rotations import compose, to_matrix
    from hpof_jax.motion import Motion

    body, frames, rng = load_body(), 5, np.random.default_rng(0)
    pose = np.cumsum(rng.normal(scale=0.1, size=(frames, 24, 3)), axis=0)
    pose[:, 0] = compose(np.array([np.pi, 0.0, 0.0]), pose[:, 0])  # the camera's y points down
    betas, trans = rng.normal(size=10), np.linspace([-0.5, 0.1, 4.0], [0.5, 0.0, 4.2], frames)
    rest = np.asarray(body.J_template) + np.tensordot(betas, np.asarray(body.J_shapedirs), axes=1)
    turns, joints = [], []
    for joint, (parent, local) in enumerate(zip(SMPL_PARENTS, np.moveaxis(to_matrix(pose), 1, 0))):
        turns.append(local if parent < 0 else turns[parent] @ local)
        bone = rest[joint] - (rest[parent] if parent >= 0 else 0.0)
        joints.append(rest[joint] + trans if parent < 0 else joints[parent] + turns[parent] @ bone)
    return Motion(
        poses=pose.reshape(frames, 72),
        betas=betas,
        trans=trans,
        mocap_framerate=25.0,
        gender="neutral",
        joints=np.stack(joints, axis=1),
        keypoints_2d=np.ones((frames, 33, 3)) * (np.arange(frames) != 2)[:, None, None],
        cam=np.zeros((frames, 3)),
        box=np.zeros((frames, 3)),
        frame_index=np.arange(frames),
        confidence=np.array([0.9, 0.8, 0.2, 0.9, 0.9]),
        image_size=(480, 640),
        focal_length=600.0,
        body="free_body",
        times=[1.0, 1.04, 1.10, 1.12, 1.16],
    )


@pytest.fixture(scope="session")
def filmed_by_hand(small_motion):
    """The same motion, seen by a camera that turns and moves from frame to frame."""
    import dataclasses

    import numpy as np
    from scipy.spatial.transform import Rotation

    steps = np.arange(5)[:, None]
    turns = Rotation.from_euler("yxz", steps * (8, -3, 2), degrees=True).as_matrix()
    places = steps * np.array([0.2, -0.05, 0.1])
    joints = np.einsum("tij,tkj->tki", turns, small_motion.joints - places[:, None])
    poses = small_motion.poses.copy()
    root = Rotation.from_matrix(turns) * Rotation.from_rotvec(small_motion.global_orient)
    poses[:, :3] = root.as_rotvec()
    return dataclasses.replace(
        small_motion,
        poses=poses,
        trans=small_motion.trans + joints[:, 0] - small_motion.joints[:, 0],
        joints=joints,
        camera_rotation=turns,
        camera_position=places,
        camera_motion="moving",
    )


@pytest.fixture(scope="session")
def gliding_motion(small_motion):
    """Somebody who stands still for two seconds, 4 m from the camera, but whose body glides to and fro in depth.

    In the second second the right foot is lifted.
    """
    import dataclasses

    import numpy as np

    from hpof_jax.body import load_body
    from hpof_jax.body.model import rest_joints
    from hpof_jax.body.numpy_kinematics import global_rotations, posed_joints

    frames, body = 60, load_body()
    times = np.arange(frames) / 30
    pose = np.zeros((frames, 24, 3))
    pose[:, 0, 0] = np.pi  # upright: the camera's y points down
    lift = np.clip(3 * (times - 1), 0, 1)
    pose[:, 2, 0], pose[:, 5, 0] = -1.2 * lift, 1.4 * lift  # the right hip and knee
    rest = np.asarray(rest_joints(body, small_motion.betas))
    pelvis = np.tile([0.1, 0.2, 4.0], (frames, 1))
    pelvis[:, 2] += 0.04 * np.sin(2 * np.pi * times)
    rows = np.zeros(frames, int)
    arrays = "keypoints_2d cam confidence camera_rotation camera_position".split()
    return dataclasses.replace(
        small_motion,
        **{name: getattr(small_motion, name)[rows] for name in arrays},
        poses=pose.reshape(frames, 72),
        trans=pelvis - rest[0],
        joints=posed_joints(rest, global_rotations(pose), pelvis),
        box=np.tile([320.0, 240.0, 300.0], (frames, 1)),
        frame_index=np.arange(frames),
        times=times,
        mocap_framerate=30.0,
    )
