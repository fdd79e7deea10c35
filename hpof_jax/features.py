"""Image features of people: crops of a video's frames through a ResNet-50.

extract = Extractor("resnet50.pth")
features = extract.of_frames(frames, boxes)  # (T, 2048)
"""

import os
from collections.abc import Iterable

import jax
import numpy as np

from hpof_jax.models.backbone import IMAGE_FEATURES, ResNet50
from hpof_jax.models.backbone_weights import load_backbone
from hpof_jax.observe.crops import person_crops

BATCH = 16  # crops that are computed at a time; the last batch is padded, so that one program serves all


class Extractor:
    """A ResNet-50 with its weights.

    Args:
      weights: a file that `models.backbone_weights.load_backbone` takes.

    Raises:
      UserError: it cannot be read.
    """

    def __init__(self, weights: str | os.PathLike):
        self._variables = jax.device_put(load_backbone(weights))
        self._apply = jax.jit(ResNet50().apply)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Crops (N, 224, 224, 3) of `person_crops` -> features (N, 2048) float32."""
        found = [np.zeros((0, IMAGE_FEATURES), np.float32)]
        for start in range(0, len(crops), BATCH):
            part = crops[start : start + BATCH]
            padded = np.pad(part, [(0, BATCH - len(part)), (0, 0), (0, 0), (0, 0)])
            found.append(np.asarray(self._apply(self._variables, padded))[: len(part)])
        return np.concatenate(found)

    def of_frames(self, frames: Iterable[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """The features of one person in each frame, (T, 2048) float32; 0 where the box has no size.

        Args:
          frames: at least T frames (H, W, 3) uint8 RGB; read one after another.
          boxes: (T, 3) = [centre x, centre y, size] px.
        """
        features = np.zeros((len(boxes), IMAGE_FEATURES), np.float32)
        rows: list[int] = []
        crops: list[np.ndarray] = []
        for row, (frame, box) in enumerate(zip(frames, boxes)):
            if box[2] > 0:
                rows.append(row)
                crops.append(person_crops(frame, box[None])[0])
            if len(crops) == BATCH or (crops and row == len(boxes) - 1):
                features[rows] = self(np.stack(crops))
                rows, crops = [], []
        return features
