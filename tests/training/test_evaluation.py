import jax
import numpy as np
import pytest

from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.models.hpof import Prediction
from hpof_jax.training import evaluation

pytestmark = pytest.mark.slow  # training steps and whole models are compiled

NAMES = ["gait_0", "gait_0", "jump_1", "jump_2", "jump_3", "gait_4", "", ""]
CLASSES = ["gait", "gait", "jump", "jump", "jump", "gait", "", ""]


class Oracle:
    """A model whose parameters are its predictions."""

    def apply(self, variables, inputs, body):
        return variables["params"]


@pytest.fixture
def batch(batch):
    """Six windows of uneven lengths, and two that fill the batch up."""
    frames = batch["mask"].shape[1]
    batch["mask"] = np.arange(frames) < np.array([6, 4, 6, 3, 5, 6, 0, 0])[:, None]
    batch["seen"][0, 2] = False
    return batch


@pytest.fixture
def ground_truth(batch):
    rotations = np.asarray(jax.jit(axis_angle_to_matrix)(batch["pose"]))
    return Prediction(batch["betas"][:, None], rotations, np.ones((*batch["mask"].shape, 3), np.float32))


def evaluate(prediction, body, batch, **options):
    totals = evaluation.make_totals(Oracle(), body, **options)
    return evaluation.evaluate(totals, prediction, {"some": [(batch, NAMES, CLASSES)]})


ZERO = ("mpjpe", "pa_mpjpe", "n_mpjpe", "acceleration_error", "betas_error", "limb_pa_mpjpe", "bone_spread")


def test_a_perfect_prediction_has_no_error(ground_truth, body, batch):
    overall = evaluate(ground_truth, body, batch)["overall"]
    for key in ZERO:
        assert abs(overall[key]) < 0.01, key
    np.testing.assert_allclose([overall["pck_50"], overall["pck_150"]], 100.0, rtol=1e-6)
    assert overall["acceleration"] > 1 and overall["detector_pa_mpjpe"] > 10
    assert overall["frames"] == batch["mask"].sum()
    assert overall["clips"] == 5
    np.testing.assert_allclose(overall["coverage"], 100 * (1 - 1 / batch["mask"].sum()), rtol=1e-5)


def test_the_mean_of_the_classes_by_frames_is_the_overall_metric(ground_truth, body, batch):
    rng = np.random.default_rng(1)
    turned = np.asarray(
        jax.jit(axis_angle_to_matrix)(batch["pose"] + rng.normal(0, 0.2, batch["pose"].shape))
    )
    table = evaluate(ground_truth._replace(rotations=turned.astype(np.float32)), body, batch)
    assert list(table["classes"]) == ["gait", "jump"]
    rows = table["classes"].values()
    assert [row["frames"] for row in rows] == [16, 14]
    for key in ("mpjpe", "pa_mpjpe", "n_mpjpe", "pck_150", "pck_50", "coverage"):
        whole = sum(row[key] * row["frames"] for row in rows) / sum(row["frames"] for row in rows)
        np.testing.assert_allclose(table["overall"][key], whole, rtol=1e-6, err_msg=key)
    low, high = table["intervals"]["mpjpe"]
    assert 10 < low < table["overall"]["mpjpe"] < high
    assert [row["frames"] for row in table["sequences"].values()] == [10, 6, 3, 5, 6]
    assert "some/gait_0" in table["sequences"]
    assert table["classes"]["gait"]["mpjpe"] != table["classes"]["jump"]["mpjpe"]


def test_the_sources_add_up_to_the_overall_metrics(ground_truth, body, batch):
    turned = ground_truth._replace(rotations=np.roll(ground_truth.rotations, 1, axis=0))
    one = batch, NAMES, CLASSES
    other = batch | {"mask": batch["mask"][::-1].copy()}, NAMES, CLASSES
    totals = evaluation.make_totals(Oracle(), body)
    table = evaluation.evaluate(totals, turned, {"one": [one], "other": [other], "none": []})
    assert list(table["sources"]) == ["one", "other"]
    rows = table["sources"].values()
    assert [row["clips"] for row in rows] == [5, 5] and table["overall"]["clips"] == 10
    whole = sum(row["mpjpe"] * row["frames"] for row in rows) / sum(row["frames"] for row in rows)
    np.testing.assert_allclose(table["overall"]["mpjpe"], whole, rtol=1e-6)
    alone = evaluation.evaluate(totals, turned, {"one": [one]})
    assert alone["overall"] == alone["sources"]["one"] == table["sources"]["one"]


def test_padding_is_not_counted(ground_truth, body, batch):
    spoilt = jax.tree.map(np.array, ground_truth)
    spoilt.rotations[~batch["mask"]] = 9.0
    spoilt.betas[6:] = 1e6
    batch["mask"][7] = True  # a window without a name, whatever it holds
    overall = evaluate(spoilt, body, batch)["overall"]
    for key in ("mpjpe", "pa_mpjpe", "acceleration_error", "betas_error"):
        assert abs(overall[key]) < 0.01, key


def test_a_wrong_shape_shows_in_betas_and_vertices(ground_truth, body, batch):
    small = {key: value[:, :2] if value.shape[1:2] == (6,) else value for key, value in batch.items()}
    wider = ground_truth._replace(
        betas=ground_truth.betas + np.float32(0.5), rotations=ground_truth.rotations[:, :2]
    )
    overall = evaluate(wider, body, small, vertices=True)["overall"]
    np.testing.assert_allclose(overall["betas_error"], 0.5, rtol=1e-4)
    assert overall["pve"] > 1.0
    exact = wider._replace(betas=ground_truth.betas)
    assert evaluate(exact, body, small, vertices=True)["overall"]["pve"] < 0.01


def test_a_shape_in_every_frame(ground_truth, body, batch):
    betas = np.repeat(batch["betas"][:, None], batch["mask"].shape[1], axis=1)
    overall = evaluate(ground_truth._replace(betas=betas), body, batch, vertices=True)["overall"]
    for key in (*ZERO, "betas_spread", "pve"):
        assert abs(overall[key]) < 0.01, key
    betas[:, ::2] += 0.5
    overall = evaluate(ground_truth._replace(betas=betas), body, batch)["overall"]
    assert overall["betas_spread"] > 0.2 and overall["bone_spread"] > 1 and 0.2 < overall["betas_error"] < 0.4


def test_processes_with_their_shares_get_the_metrics_of_one(ground_truth, body, batch):
    """Clip by clip in turns; the third process has no clip."""
    turned = ground_truth._replace(rotations=np.roll(ground_truth.rotations, 1, axis=0))
    totals = evaluation.make_totals(Oracle(), body)
    whole = evaluation.evaluate(totals, turned, {"": [(batch, NAMES, CLASSES)]})
    clips = list(dict.fromkeys(filter(None, NAMES)))
    shares = []

    def rows(value):
        shares.append(value)
        return [value]

    for number in range(2):
        mine = [name if name in clips[number::2] else "" for name in NAMES]
        evaluation.evaluate(totals, turned, {"": [(batch, mine, CLASSES)]}, rows)
    together = evaluation.evaluate(totals, turned, {"": []}, lambda value: [*shares, value])
    assert together == whole
