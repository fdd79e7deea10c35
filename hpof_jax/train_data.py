"""The data of a training: the sources that a config names, as batches for a phase and as validation windows."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping

import jax
from absl import logging
from ml_collections import ConfigDict

from data_pipelines import stream, validation, workers
from data_pipelines.feed import as_dataset
from data_pipelines.simulate.detector import DetectorNoise
from data_pipelines.sources import open_source, open_sources, parse_spec, with_ground_truth
from hpof_jax.errors import UserError
from hpof_jax.training import parallel
from hpof_jax.training.input_wait import Fetched
from hpof_jax.training.schedule import LossWeights
from hpof_jax.training.terms import OUTLINE_LOSSES

_MOCAP, _ALONE = ("bvh", "amass", "tfds"), ("rendered", "prepared", "unlabelled", "videos")


def data_sources(data: ConfigDict) -> dict[str, float]:
    """The sources of `config.data` and their shares: {"synthetic": 1.0, "bvh:FOLDER": 3.0}.

    The sources of a group, such as all mocap, divide its share evenly; a source that is named twice counts
    twice.

    Raises:
      UserError: the config names no source.
    """
    if shares := _shares(data):
        return shares
    raise UserError("The config names no motion: set --config.data.synthetic=1 or --config.data.bvh=FOLDER.")


def has_labels(data: ConfigDict) -> bool:
    """Whether `config.data` names a labelled source."""
    return any(parse_spec(spec).labelled for spec in _shares(data))


def _shares(data: ConfigDict) -> dict[str, float]:
    shares = {"synthetic": data.synthetic} if data.synthetic else {}
    groups = {"mocap": _MOCAP} | {kind: (kind,) for kind in _ALONE}
    for group, kinds in groups.items():
        specs = [f"{kind}:{path}" for kind in kinds for path in data[kind].split(",") if path]
        for spec in specs:
            shares[spec] = shares.get(spec, 0.0) + data[f"{group}_share"] / len(specs)
    return shares


def with_validation_clips(sources: Mapping[str, float]) -> dict[str, float]:
    """The sources that can be evaluated: a folder of few files may have none in its validation split."""
    evaluated = {}
    for spec, share in with_ground_truth(sources).items():
        try:
            open_source(spec, "validation")
        except UserError as error:
            logging.warning("left out of the evaluation while training: %s", error)
        else:
            evaluated[spec] = share
    return evaluated


def check_features(config: ConfigDict, sources: Iterable[str]) -> None:
    """Raises UserError if a source has no image features, which a model without landmarks needs."""
    if "landmarks" in config.model.get("inputs", ("landmarks",)):
        return
    if without := [spec for spec in sources if not getattr(open_source(spec, "train"), "backbones", ())]:
        raise UserError(
            f"{', '.join(without)} has no image features: prepare it again with --features and the weights of a "
            "ResNet-50, or train on landmarks with --config.model.inputs=\"('landmarks',)\"."
        )


class TrainingData:
    """The clips that a config names, as `training.loop.Data` describes them.

    Raises:
      UserError: a source cannot be read or lacks what the model needs, or the clips of a batch cannot be shared by the
        devices.
    """

    def __init__(self, config: ConfigDict):
        stream.check_flow(config.data.flow)  # else the first phase with flow would raise
        self.sources = data_sources(config.data)
        self._config, self._opened = config, open_sources(self.sources, "train")
        check_features(config, self.sources)
        adversarial = config.losses.get("adversarial")
        real = [spec for spec in config.data.real_motion.split(",") if spec and adversarial]
        self._options = stream.StreamOptions(
            batch_size=parallel.local_batch_size(config.batch_size, config.accumulate),
            clip_length=config.clip_length,
            seed=config.seed,
            flow_frames=config.data.flow_frames,
            noise=DetectorNoise(severity=tuple(config.data.severity)),
            shards=parallel.local_shards(config.batch_size, config.data.shards),
            features="features" in config.model.get("inputs", ()),
            real_sources=open_sources(dict.fromkeys(real, 1.0), "train") if real else None,
        )
        self._evaluated = with_validation_clips(self.sources) if config.eval_every else {}

    @property
    def backbones(self) -> set[str]:
        """Fingerprints of the ResNet-50s that made the clips' image features."""
        return self._opened.backbones

    def batches(self, loss_weights: LossWeights, first: int) -> tuple[Fetched, Callable[[int], list[str]]]:
        """The batches that these losses need, from the step `first` on, and where their clips are from."""
        recipe = self._opened, self._options_for(loss_weights), jax.process_index()
        maker = functools.cache(lambda: stream.batch_maker(*recipe))
        if processes := self._config.data.processes:
            ahead = workers.Ahead(stream.batch_maker, recipe, processes)
            batches, close = as_dataset(ahead, first - 1), ahead.close
        else:
            batches, close = as_dataset(maker(), first - 1), lambda: None
        return Fetched(batches.as_numpy_iterator(), close), lambda number: maker().origins(number - 1)

    def windows(self) -> Iterable | None:
        """The validation clips, see `evaluation.evaluate`; None if there are none."""
        if not self._evaluated:
            return None
        return validation.validation_windows(
            self._evaluated,
            dataclasses.replace(self._options, batch_size=self._config.batch_size),
            max_frames=self._config.eval_frames,
            synthetic_clips=self._config.eval_synthetic_clips,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def _options_for(self, loss_weights: LossWeights) -> stream.StreamOptions:
        flow = self._config.data.flow if OUTLINE_LOSSES & loss_weights.keys() else "none"
        return dataclasses.replace(self._options, flow=flow, real_motion="adversarial" in loss_weights)
