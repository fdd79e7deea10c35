import numpy as np
import pytest

from data_pipelines.motion.amass import read_amass
from data_pipelines.motion.load import load_source
from data_pipelines.motion.skeleton import joint_positions
from hpof_jax.errors import UserError

UPRIGHT = [np.pi / 2, 0, 0]  # AMASS has z up: a standing body is turned about x; it faces -y


def write(path, frames=8, joints=52, rate=120.0, **changes):
    poses = np.zeros((frames, 3 * joints))
    poses[:, :3] = UPRIGHT
    poses[:, 12] = np.linspace(0, 0.7, frames)  # the left knee
    trans = np.zeros((frames, 3))
    trans[:, 1] = -np.arange(frames) / rate  # forward at 1 m/s
    arrays = {"poses": poses, "trans": trans, "betas": np.arange(16.0), "mocap_framerate": np.array(rate)}
    np.savez(path, **{key: value for key, value in (arrays | changes).items() if value is not None})
    return path


def test_a_standing_body_faces_forward_and_walks_there(tmp_path):
    clip = read_amass(write(tmp_path / "walk_poses.npz"))
    assert clip.pose.shape == (2, 24, 3) and clip.motion_class == "walk"
    np.testing.assert_allclose(clip.pose[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(clip.transl[1] - clip.transl[0], [0, 0, 1 / 30], atol=1e-3)
    assert clip.pose[1, 4, 0] == pytest.approx(0.4)
    np.testing.assert_allclose(clip.betas, np.arange(10))
    assert 0 < joint_positions(clip.pose, clip.transl)[0, 10, 1] < 0.05


@pytest.mark.parametrize("joints, hands", [(24, 0.5), (52, 0.0), (55, 0.0)])
def test_only_plain_smpl_has_its_hand_joints(tmp_path, joints, hands):
    poses = np.full((4, 3 * joints), 0.5)
    clip = read_amass(write(tmp_path / "a.npz", 4, poses=poses, rate=30.0))
    np.testing.assert_allclose(clip.pose[:, 22:], hands)
    np.testing.assert_allclose(clip.pose[:, 1:22], 0.5)


def test_the_newer_name_of_the_frame_rate_and_no_betas(tmp_path):
    changes = {"mocap_framerate": None, "mocap_frame_rate": np.array(60.0), "betas": None}
    clip = read_amass(write(tmp_path / "a_stageii.npz", **changes))
    assert clip.pose.shape[0] == 4 and clip.betas is None


@pytest.mark.parametrize(
    "changes",
    [
        {"poses": None},
        {"trans": None},
        {"mocap_framerate": None},
        {"poses": np.zeros((8, 63))},
        {"trans": np.zeros((7, 3))},
        {"poses": np.full((8, 156), np.nan)},
        {"mocap_framerate": np.array(0.0)},
        {"poses": np.array([{}], dtype=object)},
    ],
)
def test_wrong_files_are_named(tmp_path, changes):
    with pytest.raises(UserError, match="a.npz"):
        read_amass(write(tmp_path / "a.npz", **changes))


def test_no_file_and_no_npz(tmp_path):
    (tmp_path / "b.npz").write_text("text")
    for name in ("nowhere.npz", "b.npz"):
        with pytest.raises(UserError, match=name):
            read_amass(tmp_path / name)


def test_a_folder_with_files_that_are_no_motion(tmp_path, monkeypatch):
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "amass" / "subject").mkdir(parents=True)
    write(tmp_path / "amass" / "subject" / "kick_poses.npz")
    np.savez(tmp_path / "amass" / "subject" / "shape.npz", betas=np.zeros(16))
    for _ in range(2):  # converted, then from the cache
        (clip,) = load_source(f"amass:{tmp_path}/amass")
        assert clip.name == "kick_poses.npz" and clip.betas.shape == (10,)
