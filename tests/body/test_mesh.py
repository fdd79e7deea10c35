import jax
import numpy as np
import pytest

from hpof_jax.body import forward, load_body
from hpof_jax.body.mesh import posed_vertices


@pytest.mark.parametrize("frames", [0, 3, 70])
def test_vertices_are_those_of_the_body_frame_by_frame(frames):
    body, rng = load_body(), np.random.default_rng(0)
    shapes = (10,), (frames, 3), (frames, 23, 3), (frames, 3)
    betas, root, pose, trans = (0.3 * rng.normal(size=shape).astype(np.float32) for shape in shapes)
    vertices = posed_vertices(body, betas, root, pose, trans)
    assert vertices.shape == (frames, len(body.v_template), 3) and vertices.dtype == np.float32
    if frames:
        alone, _ = jax.jit(forward)(body, betas, root[-1], pose[-1])
        np.testing.assert_allclose(vertices[-1], alone + trans[-1], atol=1e-5)
