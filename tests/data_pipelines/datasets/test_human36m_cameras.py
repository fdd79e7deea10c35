import cv2
import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipelines.datasets import human36m_cameras
from hpof_jax.errors import UserError

# Angles about x, y and z, a place in millimetres; focal lengths, centre, radial and tangential distortion.
PLACES = {
    (subject, number): np.array(
        [1.5 + 0.1 * subject, 0.2 * number, -2.5, 1800 + subject, 4900, 1500 + number]
    )
    for subject in range(1, 12)
    for number in range(1, 5)
}
LENSES = np.array([[1145 + k, 1143 + k, 512, 515, -0.2, 0.25, -0.003, -0.001, -0.0014] for k in range(4)])


def turn_of(subject, number):
    """R1 R2 R3, as Human3.6M's code multiplies them."""
    x, y, z = (
        Rotation.from_euler(axis, PLACES[subject, number][k]).as_matrix() for k, axis in enumerate("xyz")
    )
    return x @ y @ z


def write_hdf5(folder, subjects=(1, 5, 6, 7, 8, 9, 11)):
    """The file of 3d-pose-baseline: columns, and the orientation column by column."""
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "cameras.h5", "w") as file:
        for subject in subjects:
            for number in range(1, 5):
                camera, lens = f"subject{subject}/camera{number}", LENSES[number - 1]
                file[f"{camera}/R"] = turn_of(subject, number).T
                file[f"{camera}/T"] = PLACES[subject, number][3:, None]
                for name, part in (("f", lens[:2]), ("c", lens[2:4]), ("k", lens[4:7]), ("p", lens[7:])):
                    file[f"{camera}/{name}"] = part[:, None]
                file[f"{camera}/Name"] = np.array([[ord(letter)] for letter in "54138969"], np.uint16)


def write_xml(folder):
    """The part of Human3.6M's own file that has the cameras: one line of 300 numbers."""
    places = [PLACES[subject, number] for number in range(1, 5) for subject in range(1, 12)]
    numbers = " ".join(f"{number:.9g}" for number in np.concatenate([*places, *LENSES]))
    (folder / "metadata.xml").write_text(f"<system><w0>[{numbers}]</w0></system>")


def test_a_point_of_the_world_in_the_camera_and_in_pixels(tmp_path):
    write_hdf5(tmp_path)
    camera = human36m_cameras.read_camera(tmp_path, 9, 3)
    turn, place, lens = turn_of(9, 3), PLACES[9, 3][3:] / 1000, LENSES[2]
    local = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 6], (50, 3))
    solid, flat = camera.see(local @ turn + place)
    np.testing.assert_allclose(solid, local, atol=1e-9)
    matrix = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
    opencv = cv2.projectPoints(local, np.zeros(3), np.zeros(3), matrix, lens[[4, 5, 7, 8, 6]])[0][:, 0]
    # OpenCV's tangential distortion has twice the terms in x y and in the square: a fraction of a pixel.
    np.testing.assert_allclose(flat, opencv, atol=0.5)
    straight = camera._replace(tangential=np.zeros(2)).see(local @ turn + place)[1]
    opencv = cv2.projectPoints(local, np.zeros(3), np.zeros(3), matrix, np.array([*lens[4:6], 0, 0, lens[6]]))
    np.testing.assert_allclose(straight, opencv[0][:, 0], atol=1e-6)


def test_both_files_hold_the_same(tmp_path):
    write_hdf5(tmp_path / "h5")
    write_xml(tmp_path)
    for subject, number in ((1, 1), (11, 4), (6, 2)):
        found = [human36m_cameras.read_camera(path, subject, number) for path in (tmp_path, tmp_path / "h5")]
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("<system>", "no element"),
        ("<system><w0/></system>", "it has no 'w0'"),
        ("<system><w0>[1 2 3]</w0></system>", "cannot reshape"),
        ("<system><w0>[one]</w0></system>", "could not convert"),
    ],
)
def test_a_damaged_xml_ends_in_one_sentence(tmp_path, text, reason):
    (tmp_path / "metadata.xml").write_text(text)
    with pytest.raises(
        UserError, match=f"metadata.xml is not a readable file of Human3.6M's cameras.*{reason}"
    ):
        human36m_cameras.read_camera(tmp_path, 1, 1)


def test_a_damaged_hdf5_ends_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"has neither cameras.h5 nor metadata.xml: .* need the cameras"):
        human36m_cameras.read_camera(tmp_path, 1, 1)
    write_hdf5(tmp_path, subjects=(1,))
    with pytest.raises(UserError, match="it has no 'subject5/camera1/R'"):
        human36m_cameras.read_camera(tmp_path, 5, 1)
    with h5py.File(tmp_path / "cameras.h5", "a") as file:
        file["subject1/camera1/R"][:] *= 2
        del file["subject1/camera2"]
        file["subject1/camera2"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(UserError, match="the orientation of a camera is no rotation"):
        human36m_cameras.read_camera(tmp_path, 1, 1)
    with pytest.raises(UserError, match="it has no 'subject1/camera2/R'"):
        human36m_cameras.read_camera(tmp_path, 1, 2)
