import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax import features
from hpof_jax.errors import UserError
from hpof_jax.features import BATCH, Extractor, extractor_for
from hpof_jax.observe.clip import Observations


@pytest.fixture
def extract(monkeypatch):
    """An extractor whose network is the mean of each channel; it counts its calls."""
    monkeypatch.setattr(features, "load_backbone", lambda path: {"layer": {"kernel": np.ones(3)}})
    extractor = Extractor("weights.pth")
    extractor.calls = 0

    def apply(variables, crops):
        assert crops.shape == (BATCH, 224, 224, 3)
        extractor.calls += 1
        return np.pad(crops.mean(axis=(1, 2)), [(0, 0), (0, 2045)])

    extractor._apply = apply
    return extractor


def test_frames_become_features_batch_by_batch(extract):
    frames = [np.full((40, 60, 3), value, np.uint8) for value in range(0, 3 * BATCH)]
    boxes = np.tile(np.float32([30, 20, 20]), (len(frames), 1))
    boxes[5] = 0  # nobody is seen
    found = extract.of_frames(iter(frames), boxes)
    assert found.shape == (3 * BATCH, 2048) and extract.calls == 3
    values = (np.arange(3 * BATCH) / 255 - 0.485) / 0.229
    np.testing.assert_allclose(np.delete(found[:, 0], 5), np.delete(values, 5), atol=0.003)
    assert not found[5].any()


def test_no_frames_and_nobody(extract):
    assert extract.of_frames([], np.zeros((0, 3))).shape == (0, 2048)
    assert not extract.of_frames([np.zeros((9, 9, 3), np.uint8)] * 2, np.zeros((2, 3))).any()
    assert extract(np.zeros((0, 224, 224, 3), np.float32)).shape == (0, 2048) and not extract.calls


def test_the_people_of_a_video_are_cropped_in_one_pass(extract):
    def person(first, seen):
        landmarks = np.tile(np.random.default_rng(0).uniform(20, 30, (1, 33, 3)), (len(seen), 1, 1))
        landmarks = np.float32(landmarks * np.array(seen)[:, None, None])
        size, focal = np.float32([40, 60]), np.float32(60)
        return Observations(
            landmarks, landmarks, np.array(seen), size, focal, np.float32(30), first_frame=first
        )

    frames = [np.full((40, 60, 3), 10 * number, np.uint8) for number in range(5)]
    found = extract.of_people(iter(frames), [person(0, [True] * 5), person(2, [True, False])])
    value = (np.arange(5) * 10 / 255 - 0.485) / 0.229
    np.testing.assert_allclose(found[0].features[:, 0], value, atol=0.003)
    np.testing.assert_allclose(found[1].features[:, 0], [value[2], 0], atol=0.003)
    assert found[0].backbone == extract.fingerprint


@pytest.mark.parametrize(
    ("inputs", "path", "words"),
    [
        (("landmarks",), "resnet50.pth", "These weights take no image features: leave out --features, or"),
        (("features",), None, "These weights take image features: add --features .* or leave out --weights"),
        (
            ("landmarks", "features"),
            "absent.pth",
            "no weights of a ResNet-50 at absent.pth: .* landmarks alone",
        ),
    ],
)
def test_weights_and_features_that_do_not_fit(inputs, path, words):
    with pytest.raises(UserError, match=words):
        extractor_for(ConfigDict({"name": "hpof", "inputs": inputs}), path)


def test_features_of_another_resnet50_than_in_training_are_refused(extract, monkeypatch):
    monkeypatch.setattr(features, "_load", lambda path: extract)
    config = ConfigDict({"name": "hpof", "inputs": ("features",), "backbone": extract.fingerprint})
    assert extractor_for(config, "resnet50.pth") is extract
    config.backbone = "f" * 16
    with pytest.raises(UserError, match="fingerprint ffffffffffffffff, and those of resnet50.pth are of"):
        extractor_for(config, "resnet50.pth")


def test_without_features_a_model_of_landmarks_needs_nothing():
    assert extractor_for(ConfigDict({"name": "hpof"}), None) is None
    assert extractor_for(ConfigDict({"name": "hpof", "inputs": ("landmarks", "features")}), None) is None
