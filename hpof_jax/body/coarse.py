"""The same body with fewer vertices, for losses on silhouettes and optical flow."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from hpof_jax.body.model import BodyModel


def decimate(model: BodyModel, num_faces: int = 1000) -> BodyModel:
    """A body of about `num_faces` triangles that moves as `model` does.

    Quadric edge collapse on the template (Garland and Heckbert, SIGGRAPH 1997). Every remaining vertex is
    moved to the nearest vertex of `model` and takes its shape, pose and skinning. Joints and landmarks are
    those of the whole body. Regressors need all vertices and become empty: (24, 0) and (33, 0).
    """
    import fast_simplification
    from scipy.spatial import cKDTree

    template, faces = np.array(model.v_template, order="C"), np.array(model.faces, order="C")
    points, faces = fast_simplification.simplify(template, faces, target_count=num_faces)
    kept, faces = np.unique(cKDTree(template).query(points)[1][faces], return_inverse=True)
    faces = faces.reshape(-1, 3).astype(np.int32)
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]  # two corners moved to the same vertex
    planar = model.basis.reshape(len(model.basis), 3, -1)
    return dataclasses.replace(
        model,
        basis=planar[:, :, kept].reshape(len(model.basis), -1),
        skinning=model.skinning[:, kept],
        faces=jnp.asarray(faces),
        J_regressor=model.J_regressor[:, :0],
        landmark_regressor=model.landmark_regressor[:, :0],
        name=f"{model.name}, {len(kept)} vertices",
    )
