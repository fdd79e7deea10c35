import jax
import numpy as np
import pytest

from hpof_jax.models import inputs as inputs_module
from hpof_jax.models.inputs import LANDMARKS, NUM_FEATURES, WITH_IMAGE, make_inputs

CLIPS, FRAMES = 2, 5
POINTS, PLACE, HAS_3D = slice(0, 2 * LANDMARKS), slice(-5, -2), -1
WORLD = slice(3 * LANDMARKS, 6 * LANDMARKS)
prepare = jax.jit(make_inputs)


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    points = (
        rng.normal([600, 300], [60, 150], (CLIPS, FRAMES, LANDMARKS, 2)),
        rng.uniform(0.5, 1, (CLIPS, FRAMES, LANDMARKS, 1)),
    )
    seen = np.ones((CLIPS, FRAMES), bool)
    seen[0, 2] = False
    return {
        "landmarks_2d": np.concatenate(points, axis=-1, dtype=np.float32),
        "landmarks_3d": rng.normal(0, 0.3, (CLIPS, FRAMES, LANDMARKS, 3)).astype(np.float32),
        "seen": seen,
        "mask": np.ones((CLIPS, FRAMES), bool),
        "image_size": np.tile(np.float32([720, 1280]), (CLIPS, 1)),
        "focal_length": np.full(CLIPS, 1000.0, np.float32),
    }


def test_one_feature_vector_for_each_frame(clip):
    inputs = prepare(**clip)
    assert inputs.features.shape == (CLIPS, FRAMES, NUM_FEATURES)
    assert inputs.box.shape == (CLIPS, FRAMES, 3)
    points = np.asarray(inputs.features)[1, :, POINTS].reshape(FRAMES, LANDMARKS, 2)
    assert np.abs(points).max() <= 1.5, "in half sizes of the box, about its centre"
    np.testing.assert_array_equal(inputs.features[..., HAS_3D], clip["seen"])


def test_the_size_of_the_picture_does_not_matter(clip):
    larger = dict(clip)
    larger["landmarks_2d"] = clip["landmarks_2d"] * np.float32([2, 2, 1])
    larger |= {key: 2 * clip[key] for key in ("image_size", "focal_length")}
    np.testing.assert_allclose(prepare(**larger).features, prepare(**clip).features, atol=1e-5)


def test_the_place_in_the_picture_shows_in_the_place_alone(clip):
    moved = dict(clip, landmarks_2d=clip["landmarks_2d"] + np.float32([100, 0, 0]))
    before, after = (np.asarray(prepare(**x).features) for x in (clip, moved))
    np.testing.assert_allclose(after[..., : PLACE.start], before[..., : PLACE.start], atol=1e-5)
    assert (np.abs(after - before)[..., PLACE].max(axis=-1) > 0.01).all()


def test_unseen_frames_have_an_interpolated_box_and_no_landmarks(clip):
    garbage = dict(clip, landmarks_2d=clip["landmarks_2d"].copy(), landmarks_3d=clip["landmarks_3d"].copy())
    for key in ("landmarks_2d", "landmarks_3d"):
        garbage[key][0, 2] = 77.0
    inputs = prepare(**clip)
    for a, b in zip(prepare(**garbage), inputs, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(inputs.box[0, 2], (inputs.box[0, 1] + inputs.box[0, 3]) / 2, rtol=1e-5)
    assert not np.any(inputs.features[0, 2, : PLACE.start])


def test_padded_frames_count_as_unseen(clip):
    clip["mask"][1, 3:] = False
    inputs = prepare(**clip)
    assert not np.any(inputs.seen[1, 3:])
    np.testing.assert_array_equal(inputs.box[1, 3:], np.tile(inputs.box[1, 2], (2, 1)))


def test_hidden_3d_landmarks_do_not_matter(clip):
    hide = np.array([True, False])
    other = dict(clip, landmarks_3d=clip["landmarks_3d"] + 1)
    a, b = (np.asarray(prepare(**x, hide_3d=hide).features) for x in (clip, other))
    np.testing.assert_array_equal(a[0], b[0])
    assert not a[0, :, WORLD].any() and not a[0, :, HAS_3D].any()
    assert np.abs(a[1] - b[1]).max() > 1 and a[1, :, HAS_3D].all()


def with_image(clip, **more):
    rng = np.random.default_rng(3)
    features = rng.uniform(0, 2, (CLIPS, FRAMES, 2048)).astype(np.float16)
    return clip | {"image_features": features, "has_features": np.ones((CLIPS, FRAMES), bool)} | more


def test_image_features_follow_the_landmarks(clip):
    batch, plain = with_image(clip), prepare(**clip)
    found = np.asarray(prepare(**batch).features)
    assert found.shape == (CLIPS, FRAMES, WITH_IMAGE) and found.dtype == np.float32
    np.testing.assert_array_equal(found[..., :NUM_FEATURES], plain.features)
    np.testing.assert_array_equal(found[1, :, NUM_FEATURES:-1], batch["image_features"][1])
    np.testing.assert_array_equal(found[..., -1], clip["seen"])
    assert not found[0, 2, NUM_FEATURES:].any(), "unseen"


def test_unknown_image_features_count_nothing_even_if_they_are_not_numbers(clip):
    batch = with_image(clip)
    batch["has_features"][1, 3] = False
    batch["image_features"][1, 3] = np.nan
    found = np.asarray(prepare(**batch).features)
    assert np.isfinite(found).all() and not found[1, 3, NUM_FEATURES:].any() and found[1, 2, -1] == 1


def test_hidden_landmarks_leave_the_box_and_the_image(clip):
    batch = with_image(clip, hide_landmarks=np.array([False, True]))
    found, shown = (np.asarray(prepare(**x).features) for x in (batch, with_image(clip)))
    np.testing.assert_array_equal(found[0], shown[0])
    np.testing.assert_array_equal(found[1, :, inputs_module.PLACE], shown[1, :, inputs_module.PLACE])
    np.testing.assert_array_equal(found[1, :, NUM_FEATURES:], shown[1, :, NUM_FEATURES:])
    assert not np.delete(found[1, :, :NUM_FEATURES], np.r_[inputs_module.PLACE], axis=1).any()
