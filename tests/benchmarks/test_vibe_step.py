import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import vibe_step
from benchmarks.bodies import body_with_pose_blend_shapes
from hpof_jax import body
from hpof_jax.geometry.rotations import axis_angle_to_matrix


def test_without_torch_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "benchmarks.vibe", raising=False)
    monkeypatch.setattr(sys, "argv", ["vibe_step"])
    with pytest.raises(SystemExit) as ended:
        vibe_step.main()
    assert ended.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ") and message.endswith("pip install torch==2.13.0")
    assert "\n" not in message


def test_ratios_are_medians_over_the_rounds(monkeypatch, capsys):
    ours, vibes = {"wall": [1.0, 1.0, 4.0], "cpu": [2.0] * 3}, {"wall": [3.0, 5.0, 4.0], "cpu": [3.0] * 3}
    times = dict.fromkeys(vibe_step.OURS, ours) | dict.fromkeys(vibe_step.VIBES, vibes)
    monkeypatch.setattr(vibe_step, "training_steps", lambda *sizes: {})
    monkeypatch.setattr(vibe_step, "interleaved", lambda ways, rounds: times)
    result = vibe_step.measure(clips=2, frames=5, rounds=3)
    assert result["milliseconds_per_frame_wall"]["VIBE"] == pytest.approx(400)
    for own in vibe_step.OURS:
        assert result["faster_than_wall"][own]["VIBE"] == 3.0
        assert result["faster_than_cpu"][own]["VIBE"] == 1.5
    vibe_step.show(result)
    assert "3.00 x as fast as VIBE (1.50 x by CPU time)" in capsys.readouterr().out


def test_the_torch_body_is_smpl():
    torch, vibe = torch_and_vibe()
    model, rng = body_with_pose_blend_shapes(), np.random.default_rng(0)
    betas = rng.normal(size=(3, 10)).astype(np.float32)
    pose = rng.normal(scale=0.3, size=(3, 24, 3)).astype(np.float32)
    vertices, joints = body.forward(model, betas, pose[:, 0], pose[:, 1:])
    rotations = torch.tensor(np.array(axis_angle_to_matrix(jnp.asarray(pose))))
    found, keypoints = vibe.Smpl(model)(torch.tensor(betas), rotations)
    np.testing.assert_allclose(found.numpy(), vertices, atol=1e-5)
    np.testing.assert_allclose(keypoints[:, :24].numpy(), joints, atol=1e-5)
    assert keypoints.shape == (3, 49, 3)
    np.testing.assert_allclose(vibe.axis_angles(rotations).numpy(), pose, atol=1e-5)


@pytest.mark.parametrize(("encoder", "millions"), [("published", 18), ("gru_2048", 25)])
def test_the_torch_step_learns(encoder, millions):
    _, vibe = torch_and_vibe()
    sizes = (1, vibe.FEATURES) if encoder == "gru_2048" else ()
    assert round(sum(params.numel() for params in vibe.Encoder(*sizes).parameters()) / 1e6) == millions
    step = vibe.training(body_with_pose_blend_shapes(), clips=4, frames=3, encoder=encoder)
    first, *_, last = (step() for _ in range(6))
    assert all(np.isfinite(value) for value in last.values())
    assert last["keypoints_3d"] < first["keypoints_3d"] and last["discriminator"] < first["discriminator"]


def torch_and_vibe():
    torch = pytest.importorskip("torch")
    from benchmarks import vibe

    return torch, vibe
