import numpy as np
import pytest

from benchmarks import confidence


def test_a_calibrated_confidence_has_no_error_and_the_fit_finds_its_constants():
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(20_000, 2))
    wanted = np.array([0.5, -1.0, -2.0])
    sure = 1 / (1 + np.exp(-(wanted[0] + evidence @ wanted[1:])))
    right = rng.random(len(sure)) < sure
    found = confidence.figures(sure, right)
    assert found["ece"] < 1.5 and found["auroc"] > 0.85
    assert found["mean"] == pytest.approx(found["right"], abs=1)
    np.testing.assert_allclose(confidence.fit(evidence, right, np.full(len(right), 1e-4)), wanted, atol=0.15)


def test_figures_of_four_frames():
    sure, right = np.array([0.9, 0.8, 0.4, 0.2]), np.array([True, False, True, False])
    found = confidence.figures(sure, right)
    assert found["right"] == 50 and found["doubted"] == 50 and found["precision"] == 50
    assert found["recall"] == 50 and found["auroc"] == pytest.approx(0.75)
    assert found["ece"] == pytest.approx(100 * (0.1 + 0.8 + 0.6 + 0.2) / 4)
    assert np.isnan(confidence.auroc(sure, np.ones(4, bool)))
