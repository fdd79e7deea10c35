import numpy as np
import pytest

from data_pipelines.render.looks import draw_look, make_doll
from hpof_jax.body.files import load_body


@pytest.fixture(scope="module")
def doll():
    return make_doll()


def test_everybody_looks_different_and_the_same_number_always_alike():
    first, again, other = (draw_look(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.atlas, again.atlas)
    np.testing.assert_array_equal(first.offset, again.offset)
    assert np.abs(first.atlas.astype(int) - other.atlas).mean() > 2
    assert np.abs(first.offset - other.offset).max() > 1e-3


def test_the_doll_is_the_body_with_every_face_on_one_side(doll):
    body = load_body()
    np.testing.assert_array_equal(doll.vertex[doll.faces], np.asarray(body.faces))
    assert set(doll.vertex.tolist()) == set(range(6890))
    width = doll.size[1]
    behind = doll.texel[doll.faces][..., 0] > width - 0.5
    assert (behind.all(axis=1) | ~behind.any(axis=1)).all()
    corners = np.asarray(body.v_template)[np.asarray(body.faces)]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.testing.assert_array_equal(behind[:, 0], normal[:, 2] < 0)


@pytest.mark.parametrize("seed", range(4))
def test_every_point_is_painted_and_clothes_never_cut_into_the_skin(doll, seed):
    look = draw_look(np.random.default_rng(seed))
    column, row = np.rint(doll.texel).astype(int).T
    assert (look.atlas[row, column].sum(axis=1) > 0).all()
    assert look.offset.shape == (6890,)
    assert -1e-6 <= look.offset.min() and 0.003 < look.offset.max() < 0.12


def test_the_face_looks_forward(doll):
    nearest = np.argmin(np.linalg.norm(load_body().v_template - doll.face["left_eye"], axis=1))
    column, row = np.rint(doll.texel[doll.vertex == nearest][0]).astype(int)
    faces = np.stack([draw_look(np.random.default_rng(seed)).atlas for seed in range(8)]).astype(float)
    around = faces[:, row - 8 : row + 8, column - 8 : column + 8]
    back = faces[:, row - 8 : row + 8, doll.size[1] + column - 8 : doll.size[1] + column + 8]
    assert around.std(axis=(1, 2)).mean() > 2 * back.std(axis=(1, 2)).mean()
