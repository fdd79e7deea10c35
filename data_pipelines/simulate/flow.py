"""Optical flow and masks of clips with ground truth, for the losses on silhouettes and flow."""

import cv2
import jax
import numpy as np

from data_pipelines.device import cpu
from data_pipelines.feed import Batch
from hpof_jax.body.coarse import decimate
from hpof_jax.body.files import load_body
from hpof_jax.body.model import skin
from hpof_jax.geometry import camera, flow
from hpof_jax.geometry.rotations import axis_angle_to_matrix

SIDE = 64  # pixels of a box
KINDS = ("none", "exact", "noisy")
FLOW_KEYS = ("flow_first", "flow_box", "flow", "flow_valid", "masks", "has_flow", "has_mask")
# DIS on rendered people: a smooth error of 0.07 px inside the body, more at motion boundaries, where the
# consistency check finds most of it. Pixels.
BLUR, NOISE, PATCH, THRESHOLD = 1.0, 0.07, 8, 0.7


class SimulatedFlow:
    """Adds optical flow and masks of K consecutive frames of each clip to a batch of the stream.

    The mesh is coarse (500 vertices), the background does not move in the picture, and the boxes are those of
    the landmarks.
    """

    def __init__(self, kind: str, frames: int):
        """kind: "exact", or "noisy" for errors like those of DIS. frames: K."""
        self._kind, self._frames = kind, frames
        with jax.default_device(cpu()):
            body = decimate(load_body())
            self._faces = np.asarray(body.faces)
            self._pose = jax.jit(lambda *arrays: _vertices(body, *arrays))

    def __call__(self, rng: np.random.Generator, batch: Batch) -> Batch:
        """The batch with `FLOW_KEYS` as `training.terms.loss_terms` documents them.

        Flow is float16; masks are uint8, 255 on the person.
        """
        count, length = batch["mask"].shape
        frames = min(self._frames, length)
        first = rng.integers(length - frames + 1, size=count)
        window = np.arange(count)[:, None], first[:, None] + np.arange(frames)
        keys = "pose", "transl", "landmarks_2d"
        pose, transl, landmarks = (batch[key][window] for key in keys)
        with jax.default_device(cpu()):
            clip = (batch[key] for key in ("betas", "true_focal_length", "image_size"))
            points, depth, box, still = jax.device_get(self._pose(pose, transl, landmarks, *clip))
        seen = batch["seen"][window] & batch["mask"][window]
        drawn = [
            flow.rendered_flow(p, d, self._faces, (SIDE, SIDE), b) for p, d, b in zip(points, depth, still)
        ]
        moves, valid, masks = (np.stack(arrays) for arrays in zip(*drawn))
        if self._kind == "noisy":
            moves, valid = like_dis(rng, moves, valid)
        valid &= np.isfinite(moves[..., 0] + moves[..., 1])  # NaN where a vertex is behind the camera
        valid &= (seen[:, 1:] & seen[:, :-1])[:, :, None, None, None]
        return batch | {
            "flow_first": first.astype(np.int32),
            "flow_box": np.where(seen[..., None], box, 0).astype(np.float32),
            "flow": np.where(valid[..., None], moves, 0).astype(np.float16),
            "flow_valid": valid,
            "masks": masks.astype(np.uint8) * np.uint8(255),
            "has_flow": np.ones(count, bool),
            "has_mask": np.ones(count, bool),
        }


def like_dis(rng: np.random.Generator, moves: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flow (..., R, R, 2) with errors like those of DIS, and validity (..., R, R) like that of its check."""
    found = np.empty_like(moves)
    side = moves.shape[-2]
    coarse = rng.normal(size=(*moves.shape[:-3], side // PATCH + 1, side // PATCH + 1, 2)).astype(np.float32)
    for index in np.ndindex(moves.shape[:-3]):
        # Twice, because linear upsampling halves the noise.
        noise = 2 * NOISE * cv2.resize(coarse[index], (side, side), interpolation=cv2.INTER_LINEAR)
        found[index] = cv2.GaussianBlur(moves[index], (0, 0), BLUR) + noise
    return found, valid & (np.hypot(*np.moveaxis(found - moves, -1, 0)) < THRESHOLD)


def _vertices(body, pose, transl, landmarks, betas, focal_length, image_size):
    """The mesh in the landmarks' boxes.

    Returns:
      vertices in pixels of the boxes (B, K, V, 2), their depth (B, K, V), the boxes (B, K, 3), and the flow
      of a still background between consecutive boxes (B, K - 1, 2, SIDE, SIDE, 2).
    """
    vertices, _ = skin(body, betas[:, None], axis_angle_to_matrix(pose), transl)
    pixels = camera.project(vertices, focal_length[:, None, None], image_size[:, None, None])
    pixels = jax.numpy.where(vertices[..., 2:] > camera.MIN_DEPTH, pixels, jax.numpy.nan)
    box = camera.box_from_keypoints(landmarks)
    ends = jax.numpy.stack([box[:, :-1], box[:, 1:]], axis=2)
    still = jax.numpy.zeros((*ends.shape[:-1], SIDE, SIDE, 2))
    still = flow.between_boxes(still, ends, ends[:, :, ::-1])
    return (camera.to_box(pixels, box) + 1) * (SIDE / 2), vertices[..., 2], box, still
