"""The losses on made-up clips: a body that stands, seen by a camera that stands, too."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from benchmarks import flow_clips, flow_fit, flow_losses
from hpof_jax.body.coarse import decimate

COUNT, FRAMES, SIDE = 2, 3, flow_clips.SIDE


@pytest.fixture(scope="module")
def coarse(body):
    return decimate(body, 400)


@pytest.fixture(scope="module")
def clips(coarse):
    rng = np.random.default_rng(0)
    pose = np.repeat(np.float32(rng.normal(0, 0.2, (COUNT, 1, 24, 3))), FRAMES, axis=1)
    pose[:, :, 0] = (np.pi, 0, 0)
    pairs = (COUNT, FRAMES - 1, 2, SIDE, SIDE)
    clips = flow_clips.Clips(
        pose=pose,
        transl=np.tile(np.float32([0, 0.2, 4]), (COUNT, FRAMES, 1)),
        betas=np.float32(rng.normal(size=(COUNT, 10))),
        focal_length=np.full(COUNT, 500, np.float32),
        middle=np.full((COUNT, 2), 200, np.float32),
        box=np.tile(np.float32([200, 200, 300]), (COUNT, FRAMES, 1)),
        landmarks=np.zeros((COUNT, FRAMES, 33, 3), np.float32),
        masks=np.ones((COUNT, FRAMES, SIDE, SIDE), np.float32),
        inside=np.ones((COUNT, FRAMES, SIDE, SIDE), bool),
        flow={"exact": np.zeros((*pairs, 2), np.float32)},
        valid={"exact": np.ones(pairs, bool)},
    )
    with pytest.MonkeyPatch.context() as patch:  # compiled at once, not operation by operation
        patch.setattr(flow_clips, "keypoints", jax.jit(flow_clips.keypoints))
        return dataclasses.replace(clips, landmarks=flow_clips.simulate_landmarks(coarse, clips, seed=0))


@functools.partial(jax.jit, static_argnames="names")
def terms(body, clips, guess, start, names, visible):
    return flow_fit.terms(body, clips, guess, start, names, "exact", visible)


def true_motion(clips):
    return {key: getattr(clips, key) for key in ("pose", "transl", "betas")}


def test_the_corners_of_a_box_are_the_corners_of_its_pixels():
    box = np.float32([100, 50, 40])
    corners = np.float32([[80, 30], [120, 70], [100, 50]])
    np.testing.assert_allclose(flow_clips.box_pixels(corners, box), [[0, 0], [64, 64], [32, 32]], atol=1e-4)


def test_landmarks_and_flow_favour_the_true_motion(coarse, clips):
    start = flow_fit.perturb(clips, "large", seed=0)
    visible = flow_fit.visible_vertices(coarse, clips, true_motion(clips))
    assert 0.3 < visible.mean() < 0.8
    right, wrong = (
        terms(coarse, clips, guess, guess, "KV", visible) for guess in (true_motion(clips), start)
    )
    np.testing.assert_allclose(right["V"], 0, atol=1e-5)
    assert np.all(wrong["V"] > 0.1) and np.all(wrong["K"] > 2 * right["K"])


def test_perturbations_have_their_size(coarse, clips):
    small, large = (flow_fit.perturb(clips, size, seed=0) for size in ("small", "large"))
    np.testing.assert_array_equal(small["pose"], flow_fit.perturb(clips, "small", seed=0)["pose"])
    turn = [np.rad2deg(np.linalg.norm(g["pose"] - clips.pose, axis=-1)).mean() for g in (small, large)]
    assert 4 < turn[0] < 8 and 12 < turn[1] < 24
    assert not small["betas"].any()
    np.testing.assert_allclose(flow_fit.errors(coarse, clips, true_motion(clips)), 0, atol=0.5)
    wrong = flow_fit.errors(coarse, clips, large)
    assert np.all(wrong[0] > wrong[1]) and np.all(wrong > 5)


def test_a_row_with_flow_is_compared_with_the_row_without(coarse, clips, monkeypatch, capsys):
    fits = {"K": 10.0, "KW": 7.0}
    monkeypatch.setattr(flow_losses, "fit", lambda body, clips, start, names, kind: fits[names])
    monkeypatch.setattr(
        flow_losses,
        "errors",
        lambda body, clips, guess: (
            (guess if isinstance(guess, float) else 20.0) + np.arange(8.0).reshape(4, 2)
        ),
    )
    lines = flow_losses.table(coarse, clips, ["small"], ["detector"], ["exact"], ["K", "KW"], seed=0)
    assert [(line["terms"], line["flow"]) for line in lines] == [("start", ""), ("K", ""), ("KW", "exact")]
    assert lines[1]["errors"] == [10.5, 12.5, 14.5, 16.5] and "change" not in lines[1]
    assert lines[2]["change"] == [-3] * 4 and lines[2]["change_error"] == [0] * 4
    assert "-3.0 +- 0.0" in capsys.readouterr().out
