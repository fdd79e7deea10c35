"""Image features of people: crops of a video's frames through a ResNet-50.

extract = Extractor("resnet50.pth")
features = extract.of_frames(frames, boxes)  # (T, 2048)
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import box_from_keypoints
from hpof_jax.models.backbone import IMAGE_FEATURES, ResNet50
from hpof_jax.models.backbone_weights import fingerprint, load_backbone
from hpof_jax.models.weights import check_backbone
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.crops import person_crops

BATCH = 16  # crops that are computed at a time; the last batch is padded, so that one program serves all

_boxes = jax.jit(box_from_keypoints)


class Extractor:
    """A ResNet-50 with its weights, whose `fingerprint` is that of `models.backbone_weights`.

    Args:
      weights: a file that `models.backbone_weights.load_backbone` takes.

    Raises:
      UserError: it cannot be read.
    """

    def __init__(self, weights: str | os.PathLike):
        variables = load_backbone(weights)
        self.fingerprint = fingerprint(variables)
        self._variables = jax.device_put(variables)
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
        collector = Collector(self)
        for frame, box in zip(frames, boxes):
            collector.add(frame, box)
        return collector.features()

    def of_people(self, frames: Iterable[np.ndarray], people: Sequence[Observations]) -> list[Observations]:
        """The people of a video with their features, from its frames (H, W, 3) uint8 RGB, read once."""
        boxes = [np.where(one.seen[:, None], _boxes(one.landmarks_2d), 0) for one in people]
        collectors = [Collector(self) for _ in people]
        for number, frame in enumerate(frames):
            for one, box, collector in zip(people, boxes, collectors):
                if 0 <= (row := number - one.first_frame) < len(box):
                    collector.add(frame, box[row])
        return [
            dataclasses.replace(one, features=collector.features(), backbone=self.fingerprint)
            for one, collector in zip(people, collectors)
        ]


def extractor_for(config: ConfigDict, weights: str | os.PathLike | None) -> Extractor | None:
    """The extractor for a model; None if `weights` is None.

    Args:
      config: of the model, as `models.weights.load_weights` returns it.
      weights: those of the ResNet-50. The extractor is kept for the next call with the same.

    Raises:
      UserError: the model takes no image features, needs them, or was trained on those of another ResNet-50, or the
        weights cannot be read.
    """
    inputs = config.get("inputs", ("landmarks",))
    if weights is not None:
        if "features" not in inputs:
            raise UserError(
                "These weights take no image features: leave out --features, or add --weights of a model that was "
                "trained with config.model.inputs=('landmarks', 'features')."
            )
        extractor = _load(os.fspath(weights))
        check_backbone(config, extractor.fingerprint, f"those of {weights}")
        return extractor
    if "landmarks" not in inputs:
        raise UserError(
            "These weights take image features: add --features with the ResNet-50 of their training, or leave out "
            "--weights for this package's own, which take landmarks."
        )
    if "features" in inputs:
        logging.info("The weights also take image features: without --features, landmarks alone are used.")
    return None


_load = functools.lru_cache(maxsize=1)(Extractor)


class Collector:
    """Gathers the features of one person frame by frame, in batches.

    Args:
      extract: an `Extractor`, or a function like it.
    """

    def __init__(self, extract: Callable[[np.ndarray], np.ndarray]):
        self._extract = extract
        self._count = 0
        self._rows: list[int] = []
        self._crops: list[np.ndarray] = []
        self._found: list[tuple[list[int], np.ndarray]] = []

    def add(self, frame: np.ndarray, box: np.ndarray | None) -> None:
        """The next frame (H, W, 3) uint8 RGB; a box of None, or without a size, if nobody is seen in it."""
        if box is not None and box[2] > 0:
            self._rows.append(self._count)
            self._crops.append(person_crops(frame, np.asarray(box)[None])[0])
        self._count += 1
        if len(self._crops) == BATCH:
            self._flush()

    def features(self) -> np.ndarray:
        """(T, 2048) float32 of all frames so far; 0 in frames without a box."""
        self._flush()
        features = np.zeros((self._count, IMAGE_FEATURES), np.float32)
        for rows, values in self._found:
            features[rows] = values
        return features

    def _flush(self) -> None:
        if self._crops:
            self._found.append((self._rows, self._extract(np.stack(self._crops))))
            self._rows, self._crops = [], []
