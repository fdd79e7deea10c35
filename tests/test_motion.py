"""The result of a reconstruction, in memory and on disk."""

import dataclasses
import errno
import subprocess
import sys

import numpy as np
import pytest

from hpof_jax import visualize
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry.numpy_rotations import to_matrix
from hpof_jax.motion import Motion
from hpof_jax.world import to_world


def make(frames=4, **changes):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    fields = dict(
        poses=draw(frames, 72) * 0.2,
        betas=draw(10),
        trans=draw(frames, 3),
        mocap_framerate=30000 / 1001,
        gender="neutral",
        joints=draw(frames, 24, 3),
        keypoints_2d=draw(frames, 33, 3),
        cam=draw(frames, 3),
        box=draw(frames, 3),
        frame_index=np.arange(frames) + 2,
        confidence=np.linspace(0, 1, frames),
        image_size=(480, 640),
        focal_length=800.0,
        body="free",
        times=np.cumsum(np.linspace(0.03, 0.04, frames)),
        focal_length_source="given",
        camera_rotation=to_matrix(draw(frames, 3)),
        camera_position=draw(frames, 3),
        camera_motion="moving",
        world_to_camera=np.diag([1.0, -1.0, -1.0, 1.0]),
        gravity_source="estimated",
        gravity_sigma=4.5,
    )
    return Motion(**{**fields, **changes})


def test_a_motion_survives_its_file_bit_for_bit(tmp_path):
    motion = make()
    motion.save(tmp_path / "clip.npz")
    again = Motion.load(tmp_path / "clip.npz")
    for field in dataclasses.fields(Motion):
        want, have = getattr(motion, field.name), getattr(again, field.name)
        assert type(have) is type(want), field.name
        if isinstance(want, np.ndarray):
            assert have.dtype == want.dtype, field.name
        np.testing.assert_array_equal(have, want, err_msg=field.name)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npz"]


def test_the_file_has_the_arrays_of_amass(tmp_path):
    make().save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as file:
        assert file["poses"].shape == (4, 72)
        assert file["betas"].shape == (10,)
        assert file["trans"].shape == (4, 3)
        assert float(file["mocap_framerate"]) == 30000 / 1001
        assert str(file["gender"]) == "neutral"


def test_a_file_without_times_has_those_of_its_frame_rate(tmp_path):
    """Earlier versions wrote neither `times` nor `focal_length_source`, and no world."""
    make().save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as file:
        later = ("times", "focal_length_source", "world_to_camera", "gravity_source", "gravity_sigma")
        arrays = {k: v for k, v in file.items() if k not in later}
    np.savez(tmp_path / "old.npz", **arrays)
    old = Motion.load(tmp_path / "old.npz")
    np.testing.assert_allclose(old.times, np.arange(2, 6) * 1001 / 30000, rtol=1e-12)
    assert old.times.dtype == np.float64 and old.focal_length_source == "assumed"
    assert old.world_to_camera is None and old.gravity_source == "level"


def test_a_file_without_a_camera_motion_has_a_static_camera(tmp_path):
    make().save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as archive:
        old = {name: archive[name] for name in archive.files if not name.startswith("camera_")}
    np.savez(tmp_path / "old.npz", **old)
    motion = Motion.load(tmp_path / "old.npz")
    assert motion.camera_motion == "static"
    np.testing.assert_array_equal(motion.camera_rotation, np.tile(np.eye(3), (len(motion), 1, 1)))
    assert not motion.camera_position.any()


def test_a_motion_says_what_it_is():
    assert repr(make()) == (
        "Motion(4 frames, 0.13 s at 29.97 frames/s, video of 640 x 480 pixels, body 'free')"
    )


def test_a_motion_stands_on_the_floor_of_the_world():
    motion = make(body="free_body")
    world = motion.to_world(camera_pitch=10.0)
    direct = to_world(motion, load_body(), camera_pitch=10.0)
    np.testing.assert_array_equal(world.joints, direct.joints)
    with pytest.raises(UserError, match="was made with the body 'free' and not with 'free_body'"):
        make().to_world()


def test_a_motion_is_rendered_by_visualize(monkeypatch):
    seen = []
    monkeypatch.setattr(visualize, "render", lambda *args, **options: seen.append((args, options)))
    motion = make()
    motion.render("clip.mp4", "overlay.mp4", style="skeleton")
    assert seen == [((motion, "clip.mp4", "overlay.mp4", None), {"style": "skeleton"})]


def test_the_parts_of_the_pose():
    motion = make()
    assert len(motion) == 4
    np.testing.assert_array_equal(motion.global_orient, motion.poses[:, :3])
    np.testing.assert_array_equal(motion.body_pose.reshape(4, 69), motion.poses[:, 3:])


def test_vertices_are_those_of_some_frames():
    motion, body = make(), load_body()
    vertices = motion.vertices(body)
    assert vertices.shape == (4, len(body.v_template), 3) and vertices.dtype == np.float32
    np.testing.assert_allclose(motion.vertices(body, slice(1, 3)), vertices[1:3], atol=1e-6)


def test_the_joint_angles_of_a_person_who_faces_a_level_camera(small_motion):
    angles = small_motion.joint_angles()
    assert angles["knee_angle_r"].shape == (5,)
    assert abs(angles["pelvis_rotation"][0] + 90) < 30 and abs(angles["pelvis_tilt"][0]) < 30
    down = small_motion.joint_angles(camera_pitch=-20)
    np.testing.assert_allclose(down["knee_angle_r"], angles["knee_angle_r"])
    assert 10 < down["pelvis_tilt"][0] - angles["pelvis_tilt"][0] < 30
    with pytest.raises(UserError, match="The camera's roll is 200 degrees"):
        small_motion.joint_angles(camera_roll=200)


def test_loading_what_is_no_motion_gives_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no motion file at .*absent.npz"):
        Motion.load(tmp_path / "absent.npz")

    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match="text.npz is not a readable motion"):
        Motion.load(tmp_path / "text.npz")

    make().save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="half.npz is not a readable motion"):
        Motion.load(tmp_path / "half.npz")

    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match="array.npy is not a readable motion"):
        Motion.load(tmp_path / "array.npy")

    np.savez(tmp_path / "pickled.npz", poses=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="pickled.npz is not a readable motion"):
        Motion.load(tmp_path / "pickled.npz")

    with np.load(tmp_path / "whole.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "less.npz", **{key: value for key, value in arrays.items() if key != "cam"})
    with pytest.raises(UserError, match="less.npz has no array 'cam'"):
        Motion.load(tmp_path / "less.npz")

    np.savez(tmp_path / "nan.npz", **{**arrays, "trans": arrays["trans"] * np.nan})
    with pytest.raises(UserError, match="nan.npz is damaged: 'trans'"):
        Motion.load(tmp_path / "nan.npz")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    make(4).save(tmp_path / "clip.npz")

    def fill_the_disk(file, **arrays):
        file.write(b"PK half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fill_the_disk)
    with pytest.raises(
        UserError, match=r"cannot be written to .*clip.npz \(No space left.*make room on the disk"
    ):
        make(9).save(tmp_path / "clip.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npz"]
    assert len(Motion.load(tmp_path / "clip.npz")) == 4


def test_a_folder_that_does_not_exist_gives_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be written to .*No such file or directory"):
        make().save(tmp_path / "nowhere" / "clip.npz")


def test_reading_a_result_needs_no_jax(tmp_path):
    make().save(tmp_path / "clip.npz")
    code = "import sys; from hpof_jax.motion import Motion; Motion.load(sys.argv[1]); print('jax' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "clip.npz"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
