import jax
import numpy as np
import pytest

from configs import hpof
from hpof_jax.errors import UserError
from hpof_jax.training.schedule import make_phases, ramp_steps


def test_a_loss_comes_in_late_and_its_loss_weight_rises():
    first, second = make_phases({"keypoints_3d": 10.0, "vertex_flow": 2.0}, {"vertex_flow": (0.6, 0.8)}, 20)
    assert (first.first, first.last, first.loss_weights) == (1, 12, {"keypoints_3d": 10.0})
    assert (second.first, second.last, second.loss_weights["keypoints_3d"]) == (13, 20, 10.0)
    # A schedule takes the number of finished steps.
    rising = jax.jit(jax.vmap(second.loss_weights["vertex_flow"]))(np.arange(12, 20))
    np.testing.assert_allclose(rising, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0])


def test_fractions_go_with_the_number_of_steps():
    ramps = {"adversarial": (0.1, 0.25)}
    assert [ramp_steps(ramps, "adversarial", steps) for steps in (1_000, 20_000)] == [
        (100, 250), (2_000, 5_000)
    ]  # fmt: skip
    assert ramp_steps(ramps, "betas", 1_000) == (0, 0)


def test_phases_cover_every_step_once():
    weights = {"betas": 1.0, "silhouette": 1.0, "vertex_flow": 1.0, "adversarial": 1.0}
    ramps = {"silhouette": (0.5, 0.5), "vertex_flow": (0.5, 1.0), "adversarial": (0.2, 0.3)}
    for steps in (1, 2, 3, 10, 1_001):
        phases = make_phases(weights, ramps, steps)
        assert [phase.first for phase in phases] == [1, *(phase.last + 1 for phase in phases[:-1])]
        assert phases[-1].last == steps
    assert [len(phase.loss_weights) for phase in phases] == [1, 2, 4]
    jump = phases[-1].loss_weights["silhouette"]
    assert [float(jump(step)) for step in (500, 501)] == [1.0, 1.0]


def test_losses_without_ramps_make_one_phase_of_plain_numbers():
    weights = {"betas": 1.0, "smoothness": 10.0}
    (phase,) = make_phases(weights, {"adversarial": (0.1, 0.2)}, 100)
    assert phase == (1, 100, weights)
    (phase,) = make_phases(weights, {"betas": (0.0, 0.5)}, 100)
    assert phase.loss_weights["betas"](0) == pytest.approx(1 / 50)


def test_a_loss_weight_of_zero_leaves_a_loss_out():
    (phase,) = make_phases({"betas": 1.0, "vertex_flow": 0.0}, {"vertex_flow": (0.5, 0.6)}, 10)
    assert phase.loss_weights == {"betas": 1.0}


@pytest.mark.parametrize("ramp", [(0.7, 0.6), (-0.1, 0.5), (0.5, 1.5), (1_000, 3_000), (0.5,)])
def test_a_wrong_ramp(ramp):
    with pytest.raises(UserError, match=r"config\.ramps\.betas is .*: set it to a start and an end"):
        make_phases({"betas": 1.0}, {"betas": ramp}, 100)


def test_no_loss_in_the_first_step():
    with pytest.raises(UserError, match="No loss counts in the first step"):
        make_phases({"betas": 1.0}, {"betas": (0.5, 0.6)}, 100)


def test_the_default_is_the_whole_method_and_lets_flow_in_late():
    config = hpof.get_config()
    early, late = make_phases(config.losses.to_dict(), config.ramps.to_dict(), config.num_steps)
    assert late.loss_weights.keys() - early.loss_weights.keys() == {*hpof.FLOW_LOSSES}
    assert early.loss_weights.keys() == {*hpof.BASE_LOSSES, "adversarial"}
    assert (early.last, late.last) == (12_000, 20_000) and config.data.flow == "noisy"
