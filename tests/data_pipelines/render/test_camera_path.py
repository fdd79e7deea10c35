import numpy as np
import pytest

from data_pipelines.motion.synthetic import sample_gait
from data_pipelines.render import camera_path
from data_pipelines.render.hall import Hall
from hpof_jax.body.files import load_body

FRAMES = 20


@pytest.fixture(scope="module")
def filmed():
    """A gait in the world (the pelvis), and a shot of each kind of it."""
    pose, transl = (array[0] for array in sample_gait(np.random.default_rng(0), FRAMES, 1))
    shots = {
        kind: camera_path.film(np.random.default_rng(1), load_body(), pose, transl, np.zeros(10), kind)
        for kind in camera_path.KINDS
    }
    return transl, shots


@pytest.mark.parametrize("kind", camera_path.KINDS)
def test_the_ground_truth_is_what_the_camera_sees_from_its_place(filmed, kind):
    transl, shot = filmed[0], filmed[1][kind]
    pelvis = np.einsum("tij,tj->ti", shot.to_camera, transl - shot.positions)
    np.testing.assert_allclose(pelvis, shot.ground_truth["joints"][:, 0], atol=1e-4)
    shift = shot.ground_truth["joints"][:, 0] - shot.ground_truth["transl"]
    np.testing.assert_allclose(shift, np.tile(shift[0], (FRAMES, 1)), atol=1e-4)  # the pelvis at rest
    moved = np.linalg.norm(shot.positions - shot.positions[0], axis=1).max()
    turned = np.abs(shot.to_camera - shot.to_camera[0]).max()
    assert turned > 0.005
    if kind == "pan":
        assert moved == 0
    else:
        assert 0.001 < moved < 0.2 if kind == "handheld" else moved > 0.2


def test_the_window_is_the_whole_frame(filmed):
    for shot in filmed[1].values():
        corner = shot.window.to_frame(np.array(shot.window.size[::-1]))
        np.testing.assert_allclose(corner, shot.ground_truth["image_size"][::-1], rtol=0.01)


def test_a_point_of_the_room_stays_where_it_is(filmed):
    shot = filmed[1]["walk"]
    hall = Hall(np.random.default_rng(0), shot)
    first, _ = hall.frame(0)
    again, occluder = hall.frame(0)
    np.testing.assert_array_equal(first, again)
    assert occluder is None and first.shape == (*shot.window.size, 3) and first.std() > 5
    assert np.abs(hall.frame(FRAMES - 1)[0].astype(int) - first).mean() > 1
