import h5py
import numpy as np
import pytest
from scipy.io import savemat

from data_pipelines.datasets import base, mpi_inf_3dhp
from hpof_jax.body.skeletons import KEYPOINT_SETS
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import pictures

T, FOCAL, CENTRE = 12, 1500.0, (1030.0, 1015.0)


def points(count, frames=T):
    """Points in the camera, metres, and their pixels."""
    solid = np.random.default_rng(count).uniform([-1, -1, 3], [1, 1, 5], (frames, count, 3))
    return solid, FOCAL * solid[..., :2] / solid[..., 2:] + CENTRE


def write_train(raw, frames=T, names=("annot2", "annot3"), change=lambda cells: cells):
    """annot.mat: cells (14, 1) of arrays (T, 2 * 28) and (T, 3 * 28), in millimetres."""
    folder = raw / "S1" / "Seq2"
    folder.mkdir(parents=True, exist_ok=True)
    solid, flat = points(28, frames)
    cells = {"annot2": np.empty((14, 1), object), "annot3": np.empty((14, 1), object)}
    for camera in range(14):
        cells["annot2"][camera, 0] = flat.reshape(frames, 56)
        cells["annot3"][camera, 0] = (
            1000 * (solid + [camera, 0, 0]).reshape(frames, 84)
            if camera != 2
            else 1000 * solid.reshape(frames, 84)
        )
    cells |= {
        "cameras": np.arange(14)[None],
        "frames": np.arange(frames)[:, None],
        "univ_annot3": cells["annot3"],
    }
    cells = change(cells)
    savemat(
        folder / "annot.mat", {name: value for name, value in cells.items() if name in (*names, "frames")}
    )
    return solid, flat


def write_test(raw, name="TS5", frames=T):
    """annot_data.mat of version 7.3: axes in reverse order."""
    folder = raw / "mpi_inf_3dhp_test_set" / name
    folder.mkdir(parents=True)
    solid, flat = points(17, frames)
    valid = np.ones((frames, 1))
    valid[:3] = 0
    flat[:3] = 0
    with h5py.File(folder / "annot_data.mat", "w") as file:
        file["annot2"], file["univ_annot3"] = flat[:, None], 1000 * solid[:, None]
        file["annot3"], file["valid_frame"] = file["univ_annot3"][()], valid
    pictures(folder / "imageSequence", "img_{:06d}.jpg", frames, (54, 96), first=1)
    return solid, flat, valid[:, 0] > 0


def unit(raw, name):
    return next(found for found in mpi_inf_3dhp.find(raw).units if found.name == name)


def test_a_camera_of_a_training_sequence(tmp_path):
    solid, flat = write_train(tmp_path)
    (person,) = mpi_inf_3dhp.read(unit(tmp_path, "S1_Seq2_2")).people
    assert person.fps == 50 and person.valid.all() and len(person) == T
    assert person.focal_length == pytest.approx(FOCAL, rel=1e-6)
    np.testing.assert_allclose(person.principal_point, CENTRE, atol=1e-3)
    index = [mpi_inf_3dhp.JOINTS.index(name) if name in mpi_inf_3dhp.JOINTS else -1 for name in base.POINTS]
    assert [base.POINTS[n] for n, place in enumerate(index) if place < 0] == [
        "thorax", "head_top", "nose", "left_eye", "right_eye", "left_ear", "right_ear"
    ]  # fmt: skip
    for place, kept in enumerate(index):
        assert (person.keypoints_3d[:, place, 3] == (kept >= 0)).all()
        if kept >= 0:
            np.testing.assert_allclose(person.keypoints_3d[:, place, :3], solid[:, kept], atol=1e-5)
            np.testing.assert_allclose(person.keypoints_2d[:, place, :2], flat[:, kept], atol=1e-3)
    assert mpi_inf_3dhp.JOINTS.index("left_ankle") == 20 and mpi_inf_3dhp.JOINTS.index("right_hip") == 23


def test_points_that_are_no_projection_are_damage(tmp_path):
    write_train(tmp_path)
    with pytest.raises(
        UserError,
        match="annot.mat is not a readable annotation .* in camera 4 .*its points in 2D are not those in 3D",
    ):
        mpi_inf_3dhp.read(unit(tmp_path, "S1_Seq2_4"))


def test_a_video_of_the_test_set_and_its_reference(tmp_path):
    solid, _, valid = write_test(tmp_path)
    reading = mpi_inf_3dhp.read(unit(tmp_path, "TS5"))
    (person,) = reading.people
    np.testing.assert_array_equal(person.valid, valid)
    assert person.reference_set == "mpi_inf_3dhp17" and len(KEYPOINT_SETS["mpi_inf_3dhp17"]) == 17
    np.testing.assert_allclose(person.reference[valid], solid[valid], atol=1e-5)
    assert not person.boxes[:3].any() and person.boxes[3:, 2].all()
    assert len(list(reading.frames())) == T and person.keypoints_3d is None


def test_what_is_missing_is_named(tmp_path):
    write_train(tmp_path)
    missing = mpi_inf_3dhp.find(tmp_path).missing
    assert "S1/Seq1/annot.mat" in missing and "S1/Seq2/imageSequence/video_8.avi" in missing
    assert "mpi_inf_3dhp_test_set/TS6/annot_data.mat" in missing


def with_nan(cells):
    cells["annot3"][0, 0][:] = np.nan
    return cells


@pytest.mark.parametrize(
    ("options", "words"),
    [({"names": ("annot2",)}, "it has no 'annot3'"), ({"change": with_nan}, "not in front of the camera")],
)
def test_damaged_annotations_end_in_one_sentence(tmp_path, options, words):
    write_train(tmp_path, **options)
    with pytest.raises(
        UserError, match=f"annot.mat is not a readable annotation .*{words}.*: download it again"
    ):
        mpi_inf_3dhp.read(unit(tmp_path, "S1_Seq2_0"))


def test_cut_files_end_in_one_sentence(tmp_path):
    write_train(tmp_path)
    write_test(tmp_path)
    for name, path in (
        ("S1_Seq2_2", "S1/Seq2/annot.mat"),
        ("TS5", "mpi_inf_3dhp_test_set/TS5/annot_data.mat"),
    ):
        for content in ((tmp_path / path).read_bytes()[:700], b"", b"text"):
            (tmp_path / path).write_bytes(content)
            with pytest.raises(UserError, match="download it again"):
                mpi_inf_3dhp.read(unit(tmp_path, name))


def test_links_in_a_file_lead_nowhere(tmp_path):
    write_test(tmp_path)
    path = tmp_path / "mpi_inf_3dhp_test_set/TS5/annot_data.mat"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["valid_frame"] = np.ones((T, 1))
    with h5py.File(path, "a") as file:
        del file["valid_frame"]
        file["valid_frame"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "valid_frame")
    with pytest.raises(UserError, match="it has no 'valid_frame'"):
        mpi_inf_3dhp.read(unit(tmp_path, "TS5"))
