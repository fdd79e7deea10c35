"""The exported models, loaded back, predict what the model predicts."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax import export_model
from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.inputs import make_inputs
from hpof_jax.models.weights import load_weights

pytestmark = pytest.mark.slow  # compiling and exporting


def observations(clips: int, frames: int) -> tuple[np.ndarray, ...]:
    """Arguments of the exported function: an upright body with noise, 4 m away, unseen in 30 % of the frames."""
    rng, body = np.random.default_rng(frames), load_body()
    rest = np.asarray(body.landmark_regressor @ body.v_template) * [1, -1, -1]
    landmarks_3d = rest + rng.normal(0, 0.03, (clips, frames, 33, 3))
    pixels = 1100 * landmarks_3d[..., :2] / (landmarks_3d[..., 2:] + 4) + [640, 360]
    landmarks_2d = np.concatenate([pixels, rng.uniform(0.5, 1, (clips, frames, 33, 1))], axis=-1)
    seen = rng.random((clips, frames)) > 0.3
    size, focal_length = np.tile(np.float32([720, 1280]), (clips, 1)), np.full(clips, 1100, np.float32)
    return landmarks_2d.astype(np.float32), landmarks_3d.astype(np.float32), seen, size, focal_length


def predictor(weights):
    """The model's own prediction and inputs, for arguments of the exported function."""
    params, config = weights
    body, model = load_body(), make_model(config)

    @jax.jit
    def predict(landmarks_2d, landmarks_3d, seen, image_size, focal_length):
        mask = jnp.ones_like(seen)
        inputs = make_inputs(landmarks_2d, landmarks_3d, seen, mask, image_size, focal_length)
        return model.apply({"params": params}, inputs, body), inputs

    return predict


SIZES = [(1, 1), (2, 70)]


def test_stablehlo_loaded_back_predicts_the_same_for_every_size():
    expected = predictor(load_weights())
    exported = jax.export.deserialize(bytearray(export_model.stablehlo()))
    assert exported.platforms == ("cpu", "cuda", "rocm", "tpu")
    for size in SIZES:
        prediction, inputs = expected(*observations(*size))
        betas, rotations, cam, box = exported.call(*observations(*size))
        np.testing.assert_allclose(betas, prediction.betas[:, 0], atol=1e-5)
        np.testing.assert_allclose(rotations, prediction.rotations, atol=1e-5)
        np.testing.assert_allclose(cam, prediction.cam, atol=1e-5)
        np.testing.assert_allclose(box, inputs.box, atol=1e-2)  # pixels


def test_onnx_in_onnxruntime_predicts_the_same_for_every_size():
    pytest.importorskip("jax2onnx", reason="comes with the extra 'onnx'")
    onnxruntime = pytest.importorskip("onnxruntime")
    expected = predictor(load_weights())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning for each constant that is not used
    session = onnxruntime.InferenceSession(export_model.onnx(), options, providers=["CPUExecutionProvider"])
    for size in SIZES:
        prediction, inputs = expected(*observations(*size))
        given = {"features": np.asarray(inputs.features), "seen": np.asarray(inputs.seen)}
        betas, rotations, cam = session.run(["betas", "rotations", "cam"], given)
        np.testing.assert_allclose(betas, prediction.betas[:, 0], atol=1e-5)
        np.testing.assert_allclose(rotations, prediction.rotations, atol=1e-5)
        np.testing.assert_allclose(cam, prediction.cam, atol=1e-5)


def test_the_program_writes_whole_files_or_none(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(export_model, "stablehlo", lambda weights, body: b"model")
    monkeypatch.setattr(sys, "argv", ["export_model", "--out", str(tmp_path / "a ü")])
    export_model.main()
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a ü").iterdir()] == [
        ("model.stablehlo", b"model")
    ]
    for arguments in (["--to", "torch"], ["--out", str(tmp_path / "a ü/model.stablehlo")]):
        monkeypatch.setattr(sys, "argv", ["export_model", *arguments])
        with pytest.raises(SystemExit, match="2"):
            export_model.main()
    errors = capsys.readouterr().err
    assert "There is no format 'torch'" in errors and "give another --out" in errors


def test_without_jax2onnx_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match="pip install"):
        export_model.onnx()


def test_a_model_of_image_features_alone_is_refused():
    config = ConfigDict(
        {"name": "hpof", "channels": 8, "dilations": (1,), "hidden": 4, "inputs": ("features",)}
    )
    params = init_params(make_model(config), load_body(), 0)
    with pytest.raises(UserError, match="take image features alone, which an exported model does not: give"):
        export_model.stablehlo((params, config))
