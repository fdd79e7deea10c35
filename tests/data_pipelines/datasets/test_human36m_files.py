import h5py
import numpy as np
import pytest

from data_pipelines.datasets import base, human36m, human36m_files
from data_pipelines.datasets.human36m_files import CAMERAS
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets import test_human36m_cameras
from tests.data_pipelines.datasets.conftest import pictures
from tests.data_pipelines.datasets.test_human36m_cameras import LENSES, PLACES, turn_of

T = 40


def in_camera(seed=0, frames=T):
    return np.random.default_rng(seed).uniform([-1, -1, 3], [1, 1, 5], (frames, 32, 3))


def write_baseline(raw, subject="S9", action="Walking 1", number=4):
    """A recording as 3d-pose-baseline has it, (96, T) in the world, and the cameras; `number` sees what is returned."""
    solid, person = in_camera(), int(subject[1:])
    world = solid @ turn_of(person, number) + PLACES[person, number][3:] / 1000
    path = raw / subject / "MyPoses" / "3D_positions" / f"{action}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["3D_positions"] = 1000 * world.reshape(len(world), 96).T
    test_human36m_cameras.write_hdf5(raw)
    return solid


def write_fetched(raw, subject="S9", action="Walking-1", numbers=range(1, T + 1), cameras=CAMERAS[2:]):
    """A recording as h36m-fetch's process_all.py writes it: the frames of all cameras one after the other."""
    numbers, path = np.array(numbers), raw / subject / action / "annot.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    each = {camera: in_camera(seed, len(numbers)) for seed, camera in enumerate(cameras)}
    solid = np.concatenate(list(each.values()))
    with h5py.File(path, "w") as file:
        file["pose/2d"] = 1145 * solid[..., :2] / solid[..., 2:] + 512
        file["pose/3d"], file["pose/3d-univ"] = 1000 * solid, 900 * solid
        for camera in cameras:
            file[f"intrinsics/{camera}"] = np.array([1145.0, 512, 1145, 512])
        file["frame"] = np.tile(numbers, len(cameras))
        file["camera"] = np.repeat([int(camera) for camera in cameras], len(numbers))
        for name in ("subject", "action", "subaction"):
            file[name] = np.ones(len(solid), np.int64)
    return each


def unit_of(raw, camera, subject="S9"):
    units = human36m_files.find(raw / subject, "test").units
    return next(unit for unit in units if unit.part.endswith(camera))


def test_poses_of_the_world_in_a_camera(tmp_path):
    solid = write_baseline(tmp_path)
    unit = unit_of(tmp_path, "60457274")
    points = human36m_files.read(unit)
    assert unit.name == "S9_Walking_1_60457274" and points.fps == 25
    assert points.frame_index.tolist() == list(range(0, T, 2))
    np.testing.assert_allclose(points.solid, solid[::2], atol=1e-6)
    (person,) = human36m.read(unit).people
    assert person.motion_class == "walking" and person.subsets == ("h36m_p1", "h36m_p2")
    assert abs(person.focal_length - LENSES[3, 0]) < 40  # a fit without the lens's distortion
    np.testing.assert_allclose(person.reference, solid[::2, human36m.PLACES], atol=1e-5)
    np.testing.assert_allclose(
        person.keypoints_2d[:, base.POINTS.index("left_wrist"), :2], points.flat[:, 19], atol=1e-2
    )


def test_what_a_folder_of_poses_in_the_world_lacks(tmp_path):
    write_baseline(tmp_path, "S1", "Photo 1")
    write_baseline(tmp_path, "S1", "Directions")
    write_baseline(tmp_path, "S11", "Directions")
    video = tmp_path / "S1" / "Videos" / "TakingPhoto 1.58860488.mp4"  # S1's videos keep their names
    video.parent.mkdir()
    video.touch()
    found = human36m_files.find(tmp_path / "S1", "train")
    assert len(found.units) == 8 and unit_of(tmp_path, "58860488", "S1").frames is None  # Directions
    assert [unit.frames for unit in found.units if unit.frames] == [video]
    assert "28 of 30 files of S1/MyPoses/3D_positions/" in found.missing
    assert "S1/Videos/Photo 1.54138969.mp4" in found.missing
    assert "cameras.h5 or metadata.xml" not in found.missing
    (tmp_path / "cameras.h5").unlink()
    found = human36m_files.find(tmp_path / "S11", "test")
    assert [unit.part for unit in found.units] == [f"Directions.{camera}" for camera in CAMERAS[1:]]
    assert "cameras.h5 or metadata.xml" in found.missing


def test_the_frames_of_a_camera_among_the_fetched(tmp_path):
    each = write_fetched(tmp_path)
    pictures(tmp_path / "S9/Walking-1/imageSequence/60457274", "img_{:06d}.jpg", T, size=(8, 8), first=1)
    unit = unit_of(tmp_path, "60457274")
    points = human36m_files.read(unit)
    assert unit.name == "S9_Walking-1_60457274" and points.fps == 25
    assert points.frame_index.tolist() == list(range(0, T, 2))
    np.testing.assert_allclose(points.solid, each["60457274"][::2])
    reading = human36m.read(unit)
    assert reading.people[0].motion_class == "walking" and reading.people[0].focal_length == pytest.approx(
        1145
    )
    assert len(list(reading.frames())) == T
    missing = human36m_files.find(tmp_path / "S9", "test").missing
    assert "29 of 30 files of S9/ACTION/annot.h5" in missing
    assert "S9/Walking-1/imageSequence/54138969/" in missing


def test_every_fifth_frame_is_slow_video(tmp_path):
    write_fetched(tmp_path, numbers=range(1, 100, 5))
    points = human36m_files.read(unit_of(tmp_path, "60457274"))  # without pictures
    assert points.fps == 10 and points.frame_index.tolist() == list(range(0, 99, 5))
    pictures(tmp_path / "S9/Walking-1/imageSequence/60457274", "img_{:06d}.jpg", T, size=(8, 8), first=1)
    with pytest.raises(UserError, match="picture 41 is not in .*60457274"):
        human36m_files.read(unit_of(tmp_path, "60457274"))


@pytest.mark.parametrize("numbers", [range(1, 200, 64), [1, 2, 3, 9, 12, 13], [5, 4, 3, 2]])
def test_selected_frames_are_no_video(tmp_path, numbers):
    write_fetched(tmp_path, numbers=numbers)
    with pytest.raises(UserError, match="its frames are no video: let h36m-fetch process every frame"):
        human36m_files.read(unit_of(tmp_path, "60457274"))


def test_damaged_files_end_in_one_sentence(tmp_path):
    write_fetched(tmp_path)
    unit = unit_of(tmp_path, "54138969")
    with pytest.raises(UserError, match="0 frames of camera 54138969"):
        human36m_files.read(unit)
    with h5py.File(unit.path, "a") as file:
        del file["pose/3d"]
    with pytest.raises(UserError, match="it has no 'pose/3d'"):
        human36m_files.read(unit)
    write_baseline(tmp_path / "world", number=1)
    unit = unit_of(tmp_path / "world", "54138969")
    whole = unit.path.read_bytes()
    for content in (whole[:600], b"", b"no hdf5"):
        unit.path.write_bytes(content)
        with pytest.raises(UserError, match="is not a readable file of Human3.6M .*: download it again"):
            human36m_files.read(unit)
    with h5py.File(unit.path, "w") as file:
        file["3D_positions"] = np.zeros((95, T))
    with pytest.raises(UserError, match="cannot reshape"):
        human36m_files.read(unit)
