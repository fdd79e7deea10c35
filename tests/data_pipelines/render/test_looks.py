import numpy as np
import pytest

from data_pipelines.render.looks import draw_look, textured_body
from hpof_jax.body.files import load_body


@pytest.fixture(scope="module")
def textured():
    return textured_body()


def test_a_look_depends_on_its_random_numbers_alone():
    first, again, other = (draw_look(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.atlas, again.atlas)
    np.testing.assert_array_equal(first.offset, again.offset)
    assert np.abs(first.atlas.astype(int) - other.atlas).mean() > 2
    assert np.abs(first.offset - other.offset).max() > 1e-3


def test_every_triangle_of_the_body_is_on_one_side_of_the_texture(textured):
    body = load_body()
    np.testing.assert_array_equal(textured.vertex[textured.faces], np.asarray(body.faces))
    assert set(textured.vertex.tolist()) == set(range(6890))
    width = textured.size[1]
    behind = textured.texel[textured.faces][..., 0] > width - 0.5
    assert (behind.all(axis=1) | ~behind.any(axis=1)).all()
    corners = np.asarray(body.v_template)[np.asarray(body.faces)]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.testing.assert_array_equal(behind[:, 0], normal[:, 2] < 0)


@pytest.mark.parametrize("seed", range(4))
def test_every_point_is_painted_and_no_offset_is_negative(textured, seed):
    look = draw_look(np.random.default_rng(seed))
    column, row = np.rint(textured.texel).astype(int).T
    assert (look.atlas[row, column].sum(axis=1) > 0).all()
    assert look.offset.shape == (6890,)
    assert -1e-6 <= look.offset.min() and 0.003 < look.offset.max() < 0.12


def test_the_face_is_on_the_front(textured):
    nearest = np.argmin(np.linalg.norm(load_body().v_template - textured.face["left_eye"], axis=1))
    column, row = np.rint(textured.texel[textured.vertex == nearest][0]).astype(int)
    faces = np.stack([draw_look(np.random.default_rng(seed)).atlas for seed in range(8)]).astype(float)
    around = faces[:, row - 8 : row + 8, column - 8 : column + 8]
    back = faces[:, row - 8 : row + 8, textured.size[1] + column - 8 : textured.size[1] + column + 8]
    assert around.std(axis=(1, 2)).mean() > 2 * back.std(axis=(1, 2)).mean()
