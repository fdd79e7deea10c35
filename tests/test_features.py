import numpy as np
import pytest

from hpof_jax import features
from hpof_jax.features import BATCH, Extractor


@pytest.fixture
def extract(monkeypatch):
    """An extractor whose network is the mean of each channel; it counts its calls."""
    monkeypatch.setattr(features, "load_backbone", lambda path: {})
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
