import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.observe.background import Background
from hpof_jax.observe.camera_motion import solve

FOCAL_LENGTH, IMAGE_SIZE = 800.0, np.array([540, 960])


@pytest.fixture(scope="module")
def walk():
    """A camera that walks 2 m sideways and turns to keep looking at what is 4 m ahead; and what it sees of a room."""
    rng, frames = np.random.default_rng(0), 60
    points = rng.uniform([-5, -2, 2], [5, 1, 8], (1500, 3))
    time = np.linspace(0, 1, frames)
    positions = np.stack([2 * time, 0.05 * np.sin(20 * time), 0.3 * time], axis=1)
    yaw = np.arctan2(0 - positions[:, 0], 4 - positions[:, 2])
    rotations = Rotation.from_euler("yx", np.column_stack([-yaw, 0.01 * np.sin(15 * time)])).as_matrix()
    seen, ids, counts = [], [], []
    for rotation, position in zip(rotations, positions):
        there = (points - position) @ rotation.T
        pixels = there[:, :2] / np.maximum(there[:, 2:], 0.1) * FOCAL_LENGTH + IMAGE_SIZE[::-1] / 2
        inside = (there[:, 2] > 0.5) & np.all((pixels > 0) & (pixels < IMAGE_SIZE[::-1]), axis=1)
        rows = np.flatnonzero(inside)[:100]
        seen.append(pixels[rows] + rng.normal(0, 0.3, (len(rows), 2)))
        ids.append(rows)
        counts.append(len(rows))
    background = Background(
        np.concatenate(seen).astype(np.float32),
        np.concatenate(ids).astype(np.int32),
        np.cumsum([0, *counts]),
        np.array([0]),
    )
    return background, rotations, positions


def test_a_walk_is_found_up_to_scale(walk):
    background, rotations, positions = walk
    found = solve(background, FOCAL_LENGTH, IMAGE_SIZE, 30)
    assert found.kinds == ("moving",)
    turned = found.rotations @ np.swapaxes(rotations @ rotations[0].T, 1, 2)
    assert np.degrees(Rotation.from_matrix(turned).magnitude()).max() < 0.5
    true = (positions - positions[0]) @ rotations[0].T
    scale = (found.positions * true).sum() / (found.positions**2).sum()
    assert scale > 0
    assert np.linalg.norm(scale * found.positions - true, axis=1).max() < 0.06
