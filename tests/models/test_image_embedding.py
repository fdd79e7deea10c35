"""Models that take image features: one set of weights for clips with and without them."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.hpof import predict_long
from hpof_jax.models.image_embedding import ImageEmbedding
from hpof_jax.models.inputs import NUM_FEATURES, make_inputs

pytestmark = pytest.mark.slow

FRAMES, SMALL = 7, {"name": "hpof", "channels": 16, "dilations": (1, 3), "hidden": 4, "image_channels": 8}
BOTH, IMAGE = ("landmarks", "features"), ("features",)
prepare = jax.jit(make_inputs)


@pytest.fixture(scope="module")
def batch():
    """Two clips; the second has no image features, the first has none in frame 3 and is not seen in frame 5."""
    rng = np.random.default_rng(0)
    points = rng.uniform(100, 500, (2, FRAMES, 33, 2)), rng.uniform(0.5, 1, (2, FRAMES, 33, 1))
    batch = {
        "landmarks_2d": np.concatenate(points, axis=-1, dtype=np.float32),
        "landmarks_3d": rng.normal(0, 0.3, (2, FRAMES, 33, 3)).astype(np.float32),
        "seen": np.ones((2, FRAMES), bool),
        "mask": np.ones((2, FRAMES), bool),
        "image_size": np.full((2, 2), 720.0, np.float32),
        "focal_length": np.full(2, 1000.0, np.float32),
        "image_features": rng.uniform(0, 2, (2, FRAMES, 2048)).astype(np.float32),
        "has_features": np.ones((2, FRAMES), bool),
    }
    batch["seen"][0, 5] = batch["has_features"][0, 3] = False
    batch["has_features"][1] = False
    batch["image_features"][1] = 0
    return batch


@pytest.fixture(scope="module")
def predict(body, disturb):
    """`predict(batch)`, by weights that take both inputs."""
    model = make_model(ConfigDict({**SMALL, "inputs": BOTH}))
    params = disturb(init_params(model, body, 0))
    apply = jax.jit(lambda inputs: model.apply({"params": params}, inputs, body))
    return lambda batch: apply(prepare(**batch))


def landmarks_alone(batch):
    return {key: value for key, value in batch.items() if key not in ("image_features", "has_features")}


def assert_clip(a, b, clip, same=True):
    close = all(np.allclose(x[clip], y[clip], atol=2e-6) for x, y in zip(a, b, strict=True))
    assert close == same


def test_clips_with_and_without_image_features_share_a_batch(predict, batch):
    both, alone = predict(batch), predict(landmarks_alone(batch))
    assert_clip(both, alone, 0, same=False)
    assert_clip(both, alone, 1)


def test_image_features_of_unknown_unseen_and_padded_frames_do_not_leak(predict, batch):
    mask = batch["mask"].copy()
    mask[:, 6] = False
    batch = batch | {"mask": mask}
    other = batch | {"image_features": batch["image_features"].copy()}
    other["image_features"][0, [3, 5, 6]] = np.nan
    other["image_features"][1] = 9.0
    for x, y in zip(predict(batch), predict(other), strict=True):
        np.testing.assert_array_equal(np.asarray(x)[:, :6], np.asarray(y)[:, :6])
    other["image_features"][0, 2] = other["image_features"][0, 2, ::-1]
    assert_clip([x[:, :6] for x in predict(batch)], [x[:, :6] for x in predict(other)], 0, same=False)


def test_hidden_landmarks_do_not_leak(predict, batch):
    hidden = batch | {"hide_landmarks": np.array([True, False])}
    moved = hidden | {
        "landmarks_3d": batch["landmarks_3d"] + 1.0,
        "landmarks_2d": batch["landmarks_2d"].copy(),
    }
    moved["landmarks_2d"][..., 2] = 1.0  # the box stays the same
    assert_clip(predict(hidden), predict(moved), 0)
    assert_clip(predict(hidden), predict(moved), 1, same=False)


def test_features_alone_do_not_see_the_landmarks(body, batch, disturb):
    model = make_model(ConfigDict({**SMALL, "inputs": IMAGE}))
    params = disturb(init_params(model, body, 0))
    # The place of the box, the embedding and its flag.
    assert params["encoder"]["embed"]["kernel"].shape == (3 + SMALL["image_channels"] + 1, 16)
    inputs = prepare(**batch)
    garbage = inputs._replace(features=inputs.features.at[..., : NUM_FEATURES - 5].set(7.0))
    for x, y in zip(
        *(predict_long(model, params, each, body, chunk=4) for each in (inputs, garbage)), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_the_fitting_head_fits_landmarks_that_are_shown(body, batch, disturb):
    model = make_model(ConfigDict({**SMALL, "inputs": BOTH, "fit_steps": 1}))
    params = disturb(init_params(model, body, 0))
    first = model.clone(fitting_head=None)
    without = {name: part for name, part in params.items() if name != "fitting_head"}
    inputs = prepare(**batch, hide_landmarks=np.array([True, False]))
    fitted, plain = (
        jax.jit(lambda p, x, m=m: m.apply({"params": p}, x, body))(p, inputs)
        for m, p in ((model, params), (first, without))
    )
    assert_clip([fitted.rotations], [plain.rotations], 0)
    assert_clip([fitted.rotations], [plain.rotations], 1, same=False)


def test_an_unknown_picture_is_zeros_and_a_flag(disturb):
    module, image = ImageEmbedding(4), np.ones((2, 2049), np.float32)
    image[1] = 0
    params = disturb(module.init(jax.random.key(0), image))
    known, unknown = np.asarray(module.apply(params, image))
    assert known[4] == 1 and known[:4].any() and not unknown.any()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inputs": ()}, r"config\.model\.inputs is .*: give"),
        ({"inputs": "features"}, r"config\.model\.inputs is features: give"),
        ({"inputs": ("features", "flow")}, r"config\.model\.inputs is .*flow.*: give"),
        ({"inputs": IMAGE, "fit_steps": 2}, "The fitting head needs landmarks"),
    ],
)
def test_inputs_that_there_are_not(fields, words):
    with pytest.raises(UserError, match=words):
        make_model(ConfigDict({**SMALL, **fields}))
