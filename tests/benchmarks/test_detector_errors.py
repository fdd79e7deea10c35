import numpy as np
import pytest

from benchmarks import detector_errors
from data_pipelines.stream import StreamOptions, batch_maker


def test_a_perfect_detector_has_no_error(body, perfect):
    errors = detector_errors.detector_errors(perfect, body)
    for name in ("pa_mpjpe", "n_mpjpe", "acceleration", "error_2d"):
        np.testing.assert_allclose(errors[name], 0, atol=0.05, err_msg=name)
    np.testing.assert_allclose(errors["depth_slope"], 1, atol=1e-4)
    np.testing.assert_allclose(errors["visibility"], 1)


def test_scale_is_free_and_rotation_costs_n_mpjpe_alone(body, perfect):
    turned = perfect | {
        "landmarks_3d": 1.3 * perfect["landmarks_3d"][..., [1, 0, 2]] * np.float32([1, -1, 1])
    }
    errors = detector_errors.detector_errors(turned, body)
    np.testing.assert_allclose(errors["pa_mpjpe"], 0, atol=0.05)
    assert np.min(errors["n_mpjpe"]) > 50


def test_unseen_frames_do_not_count(body, perfect):
    wrong = {key: value.copy() for key, value in perfect.items()}
    wrong["seen"][:, 5], wrong["landmarks_2d"][:, 5], wrong["landmarks_3d"][:, 5] = False, 0, 0
    errors = detector_errors.detector_errors(wrong, body)
    np.testing.assert_allclose(errors["error_2d"], 0, atol=0.05)
    np.testing.assert_allclose(errors["acceleration"], 0, atol=0.05)


def test_the_default_noise_has_the_errors_of_the_real_detector(body):
    make = batch_maker({"synthetic": 1.0}, StreamOptions(8, 24, body=body))
    batches = [make(step) for step in range(30)]
    errors = [detector_errors.detector_errors(batch, body) for batch in batches]
    median = {key: np.nanmedian([e[key] for e in errors]) for key in errors[0]}
    assert 90 < median["pa_mpjpe"] < 112
    assert 130 < median["n_mpjpe"] < 170
    assert 15 < median["acceleration"] < 30
    assert 1.2 < median["error_2d"] < 2.0
    assert 0.5 < median["depth_slope"] < 0.9
    assert median["visibility"] > 0.88
    low, high = np.nanpercentile([e["pa_mpjpe"] for e in errors], (5, 95))
    assert low < 75 and high > 130
    assert 0.95 < np.mean([batch["seen"] for batch in batches]) < 1


def test_percentiles_are_over_the_clips_of_all_batches_without_unseen_ones(capsys):
    batches = [
        {"pa_mpjpe": np.arange(50.0), "error_2d": np.array([np.nan])},
        {"pa_mpjpe": np.arange(50.0, 101.0), "error_2d": np.array([2.0])},
    ]
    found = detector_errors.percentiles(batches)
    assert found["pa_mpjpe"] == {"5": 5, "25": 25, "50": 50, "75": 75, "95": 95}
    assert found["error_2d"] == pytest.approx(dict.fromkeys(found["error_2d"], 2))
    detector_errors.show(found)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["pa_mpjpe", "5.00", "25.00", "50.00", "75.00", "95.00"]
    assert lines[2] == ["error_2d", *["2.00"] * 5]
