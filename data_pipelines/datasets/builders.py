"""The data sets as builders of tensorflow_datasets: hpof_3dpw, hpof_amass, hpof_emdb and so on.

    import tensorflow_datasets as tfds
    from data_pipelines.datasets import builders  # registers them

    builder = tfds.builder("hpof_3dpw", data_dir="tfds/", processes=8)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir="3DPW/"))
    clips = builder.as_dataset(split="test")

`manual_dir` holds the original files, as `MANUAL_DOWNLOAD_INSTRUCTIONS` places them. They are prepared in
`data_dir`/hpof_3dpw/clips, where a stopped run goes on. It may also be a folder that `python -m hpof_jax.data prepare`
has written. The result is read without this package, by `tfds.builder_from_directory`.

An example is a clip, with the keys of `data_pipelines.observed.prepared`; an array that a clip does not have has no
rows. AMASS gives examples of motion, with the keys of `data_pipelines.motion.tfds`.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from data_pipelines.datasets import prepare
from data_pipelines.datasets.base import SPLITS, DataSet, instructions
from data_pipelines.datasets.catalogue import MODULES, load_dataset
from data_pipelines.motion import tfds as motion
from data_pipelines.motion.load import load_source
from data_pipelines.observed.manifest import read_manifest
from data_pipelines.observed.prepared import KIND, clip_files
from hpof_jax.archives import read_arrays
from hpof_jax.errors import UserError

_FRAMES = {  # name -> shape after the axis of frames, type
    "seen": ((), np.bool_),
    "landmarks_2d": ((33, 3), np.float32),
    "landmarks_3d": ((33, 3), np.float32),
    "masks": ((64, 64), np.uint8),
    "mask_to_frame": ((2, 3), np.float32),
    "flow": ((2, 64, 64, 2), np.float16),
    "flow_valid": ((2, 64, 64), np.bool_),
    "flow_box": ((3,), np.float32),
    "features": ((2048,), np.float16),
    "valid": ((), np.bool_),
    "frame_index": ((), np.int64),
    "pose": ((24, 3), np.float32),
    "transl": ((3,), np.float32),
    "keypoints_2d": ((24, 3), np.float32),
    "keypoints_3d": ((24, 4), np.float32),
    "smpl_pose": ((24, 3), np.float32),
    "smpl_transl": ((3,), np.float32),
    "joints": ((24, 3), np.float32),
    "reference": ((17, 3), np.float32),
    "world_to_camera": ((3, 4), np.float32),
}
_CLIP = {  # name -> shape, type
    "fps": ((), np.float32),
    "image_size": ((2,), np.float32),
    "focal_length": ((), np.float32),
    "true_focal_length": ((), np.float32),
    "betas": ((10,), np.float32),
    "smpl_betas": ((10,), np.float32),
    "has_smpl": ((), np.bool_),
    "has_3d": ((), np.bool_),
}
_TEXTS = ("name", "motion_class", "gender", "body", "subsets", "reference_set", "backbone")


class PreparedBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of this package.

    Args:
      options, processes, partial: see `prepare.prepare`; not used if `manual_dir` is a prepared folder.
      arguments: those of `tfds.core.DatasetBuilder`.
    """

    VERSION = tfds.core.Version("1.0.0")
    DATASET: DataSet

    def __init__(
        self,
        *,
        options: prepare.Options = prepare.Options(),  # noqa: B008 (frozen)
        processes: int = 1,
        partial: bool = False,
        **arguments,
    ):
        super().__init__(**arguments)
        self._how = {"options": options, "processes": processes, "partial": partial}
        self._original_state |= self._how  # for pickles

    def _info(self) -> tfds.core.DatasetInfo:
        dataset = self.DATASET
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{dataset.title}, prepared by hpof_jax: one example for each person and video.",
            features=motion.features() if dataset.name == "amass" else _features(),
            homepage=dataset.url,
            citation=dataset.citation,
            license=dataset.licence,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        folder = self._prepared(pathlib.Path(dl_manager.manual_dir))
        if self.DATASET.name == "amass":
            clips = {split: load_source(f"amass:{folder}", split) for split in motion.SPLITS}
            return {split: motion.examples(found) for split, found in clips.items() if found}
        files = {split: clip_files(folder, split) for split in SPLITS}
        if not any(files.values()):
            raise UserError(f"{folder} has no clip: prepare it again.")
        return {split: self._generate_examples(found) for split, found in files.items() if found}

    def _generate_examples(self, files: list[pathlib.Path]) -> Iterator[tuple[str, dict]]:
        for path in files:
            try:
                yield path.stem, _example(path)
            except UserError as error:
                logging.warning("Left out: %s", error)

    def _prepared(self, given: pathlib.Path) -> pathlib.Path:
        """The folder of the clips; they are prepared first if `given` holds the original files."""
        manifest = read_manifest(given)
        if manifest is None:
            folder = pathlib.Path(self._data_dir_root) / self.name / "clips"
            prepare.prepare(self.DATASET.name, given, folder, **self._how)
            return folder
        if (name := manifest.get("dataset")) != self.DATASET.name:
            raise UserError(f"{given} holds the data set '{name}': give a folder of {self.DATASET.name}.")
        return given


def _features() -> tfds.features.FeaturesDict:
    def tensor(shape, dtype):
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="zlib")

    frames = {name: tensor((None, *shape), dtype) for name, (shape, dtype) in _FRAMES.items()}
    clip = {name: tfds.features.Tensor(shape=shape, dtype=dtype) for name, (shape, dtype) in _CLIP.items()}
    return tfds.features.FeaturesDict(frames | clip | dict.fromkeys(_TEXTS, tfds.features.Text()))


def _example(path: pathlib.Path) -> dict[str, np.ndarray | str]:
    found = read_arrays(path, *KIND, [*_FRAMES, *_CLIP, *_TEXTS])
    absent = {name: np.zeros((0, *shape)) for name, (shape, _) in _FRAMES.items()}
    absent |= {name: np.zeros(shape) for name, (shape, _) in _CLIP.items()}
    arrays = {
        name: found.get(name, absent[name]).astype(dtype) for name, (_, dtype) in (_FRAMES | _CLIP).items()
    }
    return arrays | {name: str(found.get(name, "")) for name in _TEXTS}


def _register(name: str) -> type[PreparedBuilder]:
    dataset = load_dataset(name)
    attributes = {
        "__doc__": f"{dataset.title}. {dataset.citation}.",
        "__module__": __name__,
        "name": f"hpof_{name}",
        "DATASET": dataset,
        "MANUAL_DOWNLOAD_INSTRUCTIONS": instructions(dataset),
    }
    return type(PreparedBuilder)(f"Hpof_{name}", (PreparedBuilder,), attributes)


BUILDERS = {name: _register(name) for name in MODULES}
"""Name of the data set -> its builder."""
globals().update({builder.__name__: builder for builder in BUILDERS.values()})  # where pickles look for them
