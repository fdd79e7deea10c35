"""The step that sees no later frame: a stream equals the whole clip, and time counts, not frames."""

import dataclasses

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import tiny
from hpof_jax.body import load_body
from hpof_jax.causal import Observation, Stepper
from hpof_jax.models.build import init_params, make_model

pytestmark = pytest.mark.slow

SIZE, FOCAL, FRAMES = (720, 1280), 1100.0, 12


@pytest.fixture(scope="module")
def stepper():
    config = ConfigDict({**tiny.get_config().model.to_dict(), "causal": True})
    body, model = load_body(), make_model(config)
    rng, params = np.random.default_rng(0), init_params(model, load_body(), 0)
    noisy = jax.tree.map(lambda x: np.asarray(x) + 0.05 * rng.normal(size=x.shape).astype(np.float32), params)
    return Stepper(model, noisy, body, np.array(SIZE), FOCAL)


def sway(times, gap=()):
    """A person who sways, seen at these times (T,) but for the frames in `gap`."""
    rng = np.random.default_rng(1)
    around, points = rng.normal(0, [60, 150], (33, 2)), rng.normal(0, 0.3, (33, 3)).astype(np.float32)
    for number, time in enumerate(times):
        seen = number not in gap
        middle = np.array([640 + 100 * np.sin(2 * time), 360])
        landmarks = np.column_stack([around + middle, np.full(33, 0.9)]).astype(np.float32)
        yield Observation(float(time), landmarks * seen, points * np.float32(seen), seen)


def test_no_later_frame_changes_a_body(stepper):
    times = np.arange(FRAMES) / 30
    whole, part = list(stepper.run(sway(times))), list(stepper.run(sway(times[:7])))
    assert len(whole) == FRAMES and len(part) == 7
    for one, other in zip(whole, part):
        for name in ("pose", "betas", "trans", "joints", "confidence"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_step_leaves_its_state_as_it_was(stepper):
    state, first = stepper.start(), next(sway([0.0]))
    before = dataclasses.astuple(state)
    once, twice = stepper.step(state, first)[1], stepper.step(state, first)[1]
    np.testing.assert_array_equal(once.pose, twice.pose)
    jax.tree.map(np.testing.assert_array_equal, dataclasses.astuple(state), before)


def test_a_body_is_there_from_the_first_frame_that_shows_the_person(stepper):
    bodies = list(stepper.run(sway(np.arange(FRAMES) / 30, gap=(0, 1, 6, 7))))
    assert bodies[0] is None and bodies[1] is None
    shown = bodies[2]
    assert shown.pose.shape == (72,) and shown.joints.shape == (24, 3) and shown.betas.shape == (10,)
    np.testing.assert_allclose(
        shown.joints[0] - shown.trans, load_body().J_template[0], atol=0.1, err_msg="trans is SMPL's"
    )
    assert [body.seen for body in bodies[5:9]] == [True, False, False, True]
    assert bodies[7].confidence < bodies[6].confidence < 0.5


def test_who_is_out_of_sight_for_longer_than_the_model_remembers_is_gone(stepper):
    times = np.append(np.arange(4) / 30, [10.0, 10.1])
    bodies = list(stepper.run(sway(times, gap=(4,))))
    assert bodies[3] is not None and bodies[4] is None and bodies[5].seen


def test_times_count_and_not_frames(stepper):
    """The same movement at 30 frames/s, and with uneven gaps between the frames."""
    even = np.arange(31) / 30
    uneven = np.delete(even, [5, 6, 7, 15, 20, 21])
    steady, varying = (list(stepper.run(sway(times))) for times in (even, uneven))
    np.testing.assert_allclose(varying[-1].joints, steady[-1].joints, atol=0.03)


def test_the_window_ends_with_the_newest_frame_at_the_models_rate(stepper):
    state = stepper.start()
    for new in sway(np.arange(10) / 60):
        state, _ = stepper.step(state, new)
    window = stepper._window(state)
    assert window["mask"].all() and len(window["mask"][0]) == 9, "the encoder's border and the frame itself"
    np.testing.assert_array_equal(window["landmarks_2d"][0, -1], state.landmarks_2d[-1])
    middle = state.landmarks_2d[-3] / 2 + (state.landmarks_2d[-2] + state.landmarks_2d[-4]) / 4
    np.testing.assert_allclose(window["landmarks_2d"][0, -2], middle, rtol=1e-5)
