"""The table of landmarks is what the script finds on the free body."""

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.body.anatomical import FREE_BODY_LANDMARKS, landmarks_of_shapes
from hpof_jax.body.build.landmarks import draw, find_landmarks


def test_the_table_is_what_the_script_finds():
    body = load_body()
    found = find_landmarks(body)
    assert [*found] == [*FREE_BODY_LANDMARKS]
    on_body = landmarks_of_shapes(body, np.zeros((1, 10)))
    for name, place in found.items():
        np.testing.assert_allclose(FREE_BODY_LANDMARKS[name], place, atol=1e-4)
        np.testing.assert_allclose(on_body[name, "left"][0], place, atol=2e-3)
        np.testing.assert_allclose(on_body[name, "right"][0], place * [-1, 1, 1], atol=6e-3)


@pytest.mark.slow
def test_the_picture_shows_a_body_with_marks():
    picture = draw(load_body(), size=200)
    assert picture.shape == (200, 400, 3) and (picture != 255).any()
    assert (picture == (0, 0, 220)).all(axis=-1).any()
