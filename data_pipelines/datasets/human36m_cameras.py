"""Human3.6M's cameras, for poses that are given in the world: `cameras.h5` of 3d-pose-baseline, or `metadata.xml`.

`metadata.xml` comes with Human3.6M's own code. Both hold the same numbers, in millimetres and pixels.
"""

import pathlib
import xml.etree.ElementTree as ET
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.datasets.base import check_rotations
from data_pipelines.datasets.loaders import open_hdf5, read_text, reading
from hpof_jax.errors import UserError

WHAT = "a readable file of Human3.6M's cameras"
FILES = ("cameras.h5", "metadata.xml")  # the first that is there is read
SUBJECTS, INTRINSICS = 11, 9  # of `metadata.xml`: people for each camera, and numbers of each lens


class Camera(NamedTuple):
    """A camera and its lens. A point x in the world is at turn @ (x - place) in the camera's frame."""

    turn: np.ndarray  # (3, 3)
    place: np.ndarray  # (3,) metres
    focal: np.ndarray  # (2,) px
    centre: np.ndarray  # (2,) px
    radial: np.ndarray  # (3,)
    tangential: np.ndarray  # (2,)

    def see(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in the world, metres -> the same in the camera's frame, and pixels (..., 2).

        The distortion of the lens is that of Human3.6M's own code, with which its points in 2D were made.
        """
        solid = (points - self.place) @ self.turn.T
        rays = solid[..., :2] / np.maximum(solid[..., 2:], 1e-3)
        square = np.sum(rays**2, axis=-1, keepdims=True)
        scale = 1 + sum(factor * square ** (power + 1) for power, factor in enumerate(self.radial))
        scale = scale + rays @ self.tangential[::-1, None]
        return solid, self.focal * (rays * scale + square * self.tangential[::-1]) + self.centre


def read_camera(folder: pathlib.Path, subject: int, number: int) -> Camera:
    """The camera with a number, from 1, when it filmed a person, such as 9 for S9; `folder` has one of `FILES`.

    Raises:
      UserError: neither file is there, or it is damaged.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{folder} has neither {' nor '.join(FILES)}: poses in the world need the cameras.")
    found = _read_hdf5(path, subject, number) if path.suffix == ".h5" else _read_xml(path, subject, number)
    with reading(path, WHAT):
        check_rotations(found.turn)
    return found


def _read_hdf5(path: pathlib.Path, subject: int, number: int) -> Camera:
    with open_hdf5(path, WHAT) as file, reading(path, WHAT):

        def part(name: str, size: int) -> np.ndarray:
            return file.read(f"subject{subject}/camera{number}/{name}").astype(np.float64).reshape(size)

        turn = part("R", 9).reshape(3, 3).T  # MATLAB wrote it column by column
        return Camera(turn, part("T", 3) / 1000, part("f", 2), part("c", 2), part("k", 3), part("p", 2))


def _read_xml(path: pathlib.Path, subject: int, number: int) -> Camera:
    """`w0`: for each camera and person three angles about x, y and z and a place; then nine numbers for each lens."""
    text = read_text(path, WHAT)
    with reading(path, WHAT):
        try:
            found = ET.fromstring(text).findtext(".//w0")
        except ET.ParseError as error:
            raise ValueError(str(error)) from error
        if not found:
            raise ValueError("it has no 'w0'")
        numbers = np.array(found.strip(" []\n").split(), np.float64)
        angles, place = numbers[: 24 * SUBJECTS].reshape(4, SUBJECTS, 2, 3)[number - 1, subject - 1]
        lens = numbers[24 * SUBJECTS :].reshape(4, INTRINSICS)[number - 1]
        turn = Rotation.from_euler("XYZ", angles).as_matrix()
        return Camera(turn, place / 1000, lens[:2], lens[2:4], lens[4:7], lens[7:])
