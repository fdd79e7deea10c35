"""From world motion to a training example, with a simulated camera and a simulated detector.

A pure function of a PRNG key. A rendered clip, on which the real detector was run, has the same keys.
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
    """Films clips with random cameras and runs the simulated detector on them.

    Args:
      key: JAX random key.
      body: the body that moves.
      pose: (B, T, 24, 3) axis-angle, world with y up. transl: (B, T, 3) the pelvis in the world, metres.
      betas: (B, 10).
      noise: the detector's errors. camera: the distribution of the cameras.

    Returns:
      observations: landmarks_2d (B, T, 33, 3) = [x px, y px, visibility], landmarks_3d (B, T, 33, 3) metres
      about the mid-hip, seen (B, T) bool, image_size (B, 2) = [height, width], focal_length (B,) px, which is
      the default one or, for a share of the clips, the true one;
      ground truth in the camera frame: true_focal_length (B,) px, betas (B, 10), pose (B, T, 24, 3)
      axis-angle, and transl (B, T, 3) metres with SMPL's meaning: the pelvis is at its rest position plus
      transl.
    """
    return _simulate(key, body, pose, transl, betas, noise, camera)


@jax.jit
def _simulate(key, body, pose, transl, betas, noise, camera):
    camera_key, detector_key = jax.random.split(key)
    clip, points = film(camera_key, body, pose, transl, betas, camera)
    return clip | detect(detector_key, points, clip["true_focal_length"], clip["image_size"], noise)
