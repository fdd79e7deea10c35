"""From a motion in the world to a training example: a simulated camera films it, a simulated detector observes it.

Pure functions of a PRNG key. The keys of the result are those of real observations and of ground truth, so that
rendered clips, which the real detector has observed, can take its place.
"""

import jax

from data_pipelines.simulate.camera import CameraRange, film
from data_pipelines.simulate.detector import DetectorNoise, detect
from hpof_jax.body.model import BodyModel


def simulate(
    key: jax.Array,
    body: BodyModel,
    pose: jax.Array,
    transl: jax.Array,
    betas: jax.Array,
    noise: DetectorNoise = DetectorNoise(),  # noqa: B008 (frozen)
    camera: CameraRange = CameraRange(),  # noqa: B008
) -> dict[str, jax.Array]:
    """Films clips and watches them with the simulated detector.

    Args:
      key: JAX random key.
      body: the body that moves.
      pose: (B, T, 24, 3) axis-angle, world with y up. transl: (B, T, 3) place of the pelvis in the world, metres.
      betas: (B, 10).
      noise: the detector's errors. camera: where the cameras stand.

    Returns:
      landmarks_2d (B, T, 33, 3), landmarks_3d (B, T, 33, 3), seen (B, T) bool, image_size (B, 2), focal_length (B,)
      assumed, true_focal_length (B,), betas (B, 10), pose (B, T, 24, 3) and transl (B, T, 3) in the camera frame
      with SMPL's meaning of transl (the pelvis ends at its rest place plus transl).
    """
    return _simulate(key, body, pose, transl, betas, noise, camera)


@jax.jit
def _simulate(key, body, pose, transl, betas, noise, camera):
    where, how = jax.random.split(key)
    truth, points = film(where, body, pose, transl, betas, camera)
    observations = detect(how, points, truth["true_focal_length"], truth["image_size"], noise)
    return truth | observations
