"""The mesh of a body in the frames of a clip."""

import jax
import numpy as np

from hpof_jax.body.model import BodyModel, forward

CHUNK = 64  # frames that are skinned at once: about 20 MB of intermediate results


def posed_vertices(
    body: BodyModel,
    betas: np.ndarray,
    global_orient: np.ndarray,
    body_pose: np.ndarray,
    trans: np.ndarray,
) -> np.ndarray:
    """The vertices of one shape (10,) in T poses (T, 3), (T, 23, 3) and places (T, 3): (T, V, 3) float32 metres."""
    skin = jax.jit(forward)
    chunks = [np.zeros((0, len(body.v_template), 3), np.float32)]
    for start in range(0, len(trans), CHUNK):
        chunk = np.arange(start, min(start + CHUNK, len(trans)))
        # Padded to one size, so that a clip of any length compiles once.
        filled = np.resize(chunk, CHUNK)
        vertices, _ = skin(body, betas, global_orient[filled], body_pose[filled], trans[filled])
        chunks.append(np.asarray(vertices)[: len(chunk)])
    return np.concatenate(chunks)
