"""Results of each program, in the layout that it writes."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.errors import UserError
from hpof_jax.predictions.formats import read_prediction

FRAMES = 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def wham(rng, frames=FRAMES, first=0):
    """One person of `wham_output.pkl`."""
    pose = {key: rng.normal(size=(frames, 72)).astype(np.float32) for key in ("pose", "pose_world")}
    trans = {key: rng.normal(size=(frames, 3)).astype(np.float32) for key in ("trans", "trans_world")}
    numbers = np.arange(first, first + frames)
    return pose | trans | {"betas": np.ones((frames, 10), np.float32), "frame_ids": numbers}


def test_whams_people_in_both_frames(write, tmp_path, rng):
    people = {0: wham(rng), 5: wham(rng, 6, first=10)}
    path = write(tmp_path / "wham_output.pkl", people)
    longest = read_prediction(path)
    assert longest.program == "WHAM" and longest.frames.tolist() == [10, 11, 12, 13, 14, 15]
    np.testing.assert_allclose(longest.pose.reshape(6, 72), people[5]["pose"])
    first = read_prediction(path, "world", person="0")
    np.testing.assert_allclose(first.transl, people[0]["trans_world"])
    assert first.fps is None and first.body == "smpl"
    with pytest.raises(UserError, match="no person 7 in .*one of 0, 5"):
        read_prediction(path, person="7")


def test_gvhmrs_motion_is_smplxs(write, tmp_path, rng):
    sizes = {"global_orient": 3, "body_pose": 63, "betas": 10, "transl": 3}
    arrays = {
        frame: {key: rng.normal(size=(FRAMES, size)).astype(np.float32) for key, size in sizes.items()}
        for frame in ("smpl_params_incam", "smpl_params_global")
    }
    tensors = {frame: {key: write.tensor(x) for key, x in part.items()} for frame, part in arrays.items()}
    path = write(tmp_path / "hmr4d_results.pt", tensors, "torch")
    for frame, key in (("camera", "smpl_params_incam"), ("world", "smpl_params_global")):
        motion = read_prediction(path, frame)
        assert (motion.program, motion.body) == ("GVHMR", "smplx")
        np.testing.assert_allclose(motion.pose[:, 0], arrays[key]["global_orient"])
        np.testing.assert_allclose(motion.pose[:, 1:22].reshape(FRAMES, 63), arrays[key]["body_pose"])
        assert not motion.pose[:, 22:].any()


def test_4d_humans_without_the_trackers_guesses(write, tmp_path, rng):
    pose = rng.uniform(-1, 1, (FRAMES, 24, 3))
    turns = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(FRAMES, 24, 3, 3).astype(np.float32)
    content = {}
    for frame in range(FRAMES):
        smpl = {"global_orient": turns[frame, :1], "body_pose": turns[frame, 1:], "betas": np.zeros(10)}
        content[f"{frame:06d}.jpg"] = {
            "time": frame, "tid": [3], "tracked_time": [int(frame == 2)], "smpl": [smpl],
            "camera": [np.array([0.0, 0.0, 4.0])],
        }  # fmt: skip
    path = write(tmp_path / "demo.pkl", content, "compressed")
    motion = read_prediction(path)
    assert motion.program == "4D-Humans" and motion.frames.tolist() == [0, 1, 3]
    np.testing.assert_allclose(motion.pose, pose[[0, 1, 3]], atol=1e-5)
    np.testing.assert_allclose(motion.transl, [[0, 0, 4]] * 3)
    with pytest.raises(UserError, match="no motion in the world"):
        read_prediction(path, "world")
    content["000001.jpg"]["smpl"][0]["body_pose"][4, 0, 0] = (
        np.inf
    )  # at which SciPy's rotations take for ever
    with pytest.raises(UserError, match="demo.pkl .*a joint's rotation matrix is none"):
        read_prediction(write(path, content, "compressed"))


def test_motions_of_this_package_and_of_amass(tmp_path, small_motion, rng):
    small_motion.save(tmp_path / "motion.npz")
    motion = read_prediction(tmp_path / "motion.npz")
    assert (motion.program, motion.body, motion.fps) == ("hpof_jax", "free_body", 25.0)
    np.testing.assert_allclose(motion.transl, small_motion.trans)
    poses = rng.normal(size=(FRAMES, 156))
    arrays = {"poses": poses, "trans": np.zeros((FRAMES, 3)), "betas": np.ones(16), "mocap_framerate": 120.0}
    np.savez(tmp_path / "amass.npz", **arrays)
    motion = read_prediction(tmp_path / "amass.npz")
    assert (motion.program, motion.body, motion.fps) == ("AMASS", "smpl", 120.0)
    np.testing.assert_allclose(motion.pose[:, :22].reshape(FRAMES, 66), poses[:, :66])
    assert not motion.pose[:, 22:].any() and motion.betas.shape == (FRAMES, 16)
    assert motion.gender == "neutral"
    for gender in (np.array("female"), np.array(b"female"), np.array("female", object)):
        np.savez(tmp_path / "amass.npz", **arrays, gender=gender)
        assert read_prediction(tmp_path / "amass.npz").gender == "female"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pose": np.full((FRAMES, 72), np.nan, np.float32)}, "not finite"),
        ({"pose": np.zeros((FRAMES, 9), np.float32)}, "shape"),
        ({"trans": np.zeros((FRAMES + 1, 3), np.float32)}, "'transl' of shape"),
        ({"frame_ids": np.array([0, 2, 1, 3])}, "ascend"),
        ({"frame_ids": "abc"}, "numbers"),
    ],
)
def test_damaged_results_are_one_sentence(write, tmp_path, rng, change, words):
    path = write(tmp_path / "ä result.pkl", {0: wham(rng) | change})
    with pytest.raises(UserError, match=words):
        read_prediction(path)


def test_files_of_no_known_program(write, tmp_path):
    with pytest.raises(UserError, match="no program that is known"):
        read_prediction(write(tmp_path / "other.pkl", {"x": {"y": 1}}))
    with pytest.raises(UserError, match="no file"):
        read_prediction(tmp_path / "absent.pkl")
    (tmp_path / "empty.pt").touch()
    with pytest.raises(UserError, match="empty"):
        read_prediction(tmp_path / "empty.pt")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match="no 'poses'"):
        read_prediction(tmp_path / "other.npz")
