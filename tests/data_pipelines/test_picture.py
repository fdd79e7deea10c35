import numpy as np
import pytest

from data_pipelines import scene
from data_pipelines.backdrop import Backdrop
from data_pipelines.looks import draw_look, make_doll
from data_pipelines.picture import take_pictures
from hpof_jax.body.files import load_body
from hpof_jax.geometry import zbuffer

TO_LIGHT = np.array([0.6, 0.8, 0.0])


@pytest.fixture(scope="module")
def skin(shots):
    """The dressed body in every frame of both shots, and its look."""
    body, doll, look = load_body(), make_doll(), draw_look(np.random.default_rng(3))
    rest, normals = scene.dress(doll, look, body, shots[2])
    weights = np.asarray(body.lbs_weights)[doll.vertex]
    posed = {
        name: scene.pose_points(shot, weights, rest, normals, TO_LIGHT) for name, shot in shots[3].items()
    }
    return look, posed


def take(shot, skin, camera="tripod", cover=None, seed=0):
    look, posed = skin
    plate = np.full((*shot.window.size, 3), 128, np.uint8)
    backdrop = Backdrop(plate, cover, None, shot.window.size)
    return list(
        take_pictures(
            np.random.default_rng(seed), shot, make_doll(), look, backdrop, *posed[camera], TO_LIGHT
        )
    )


def test_a_clip_is_pictures_and_masks(shots, skin):
    shot = shots[3]["tripod"]
    frames = take(shot, skin)
    assert len(frames) == 12
    for image, mask in frames:
        assert image.shape == (*shot.window.size, 3) and image.dtype == np.uint8
        assert mask.shape == shot.window.size and set(np.unique(mask)) == {0, 255}
    again = take(shot, skin)
    assert all(np.array_equal(a, b) and np.array_equal(m, n) for (a, m), (b, n) in zip(frames, again))


@pytest.mark.parametrize("camera", ["tripod", "hand"])
def test_the_mask_is_what_a_z_buffer_sees_of_the_same_points(shots, skin, camera):
    shot = shots[3][camera]
    window = shot.window
    for (_, mask), points in zip(take(shot, skin, camera), skin[1][camera][0]):
        pixels = points[:2].T / points[2][:, None] * window.focal_length + window.centre
        buffer = zbuffer.rasterize(pixels, points[2], make_doll().faces, window.size)
        union = np.sum((mask > 0) | buffer.mask)
        assert np.sum((mask > 0) != buffer.mask) < 0.002 * union


def test_the_person_stands_out_and_casts_a_shadow(shots, skin):
    dark = []
    for seed in range(4):
        for image, mask in take(shots[3]["tripod"], skin, seed=seed)[::4]:
            inside = mask > 0
            assert (
                np.abs(image[inside].astype(int) - 128).mean()
                > 3 * np.abs(image[:8, :8].astype(int) - 128).mean()
            )
            dark.append(np.mean(image[~inside].mean(axis=-1) < 115))
    assert max(dark) > 0.01


def test_who_is_covered_is_not_in_the_mask(shots, skin):
    shot = shots[3]["tripod"]
    whole = take(shot, skin)[0][1]
    cover = np.zeros(shot.window.size, np.uint8)
    cover[np.nonzero(whole)[0].mean().astype(int) :] = 255
    image, mask = take(shot, skin, cover=cover)[0]
    np.testing.assert_array_equal(mask, np.where(cover > 0, 0, whole))
    assert 0 < np.count_nonzero(mask) < np.count_nonzero(whole)


def test_who_moves_fast_is_blurred_about_where_they_are(shots, skin):
    shot, (look, posed) = shots[3]["tripod"], skin
    points, cosine = (np.repeat(array[:1], 12, axis=0) for array in posed["tripod"])
    steps = np.float32([[[0.2], [0.0], [0.0]]]) * (np.arange(12, dtype=np.float32) - 5)[:, None, None]
    different = []
    for seed in range(6):
        (still, mask), (moving, same) = (
            take(shot, (look, {"tripod": (place, cosine)}), seed=seed)[5]
            for place in (points, points + steps)
        )
        np.testing.assert_array_equal(mask, same)
        different.append(np.abs(still.astype(int) - moving).mean())
    assert min(different) == 0 and max(different) > 0.5  # some shutters are fast, others are not


def test_nobody_in_the_window_is_an_empty_mask(shots, skin):
    shot, (look, posed) = shots[3]["tripod"], skin
    points, cosine = posed["tripod"]
    away = points + np.float32([[100.0], [0.0], [0.0]])
    for image, mask in take(shot, (look, {"tripod": (away, cosine)})):
        assert not mask.any() and image.shape == (*shot.window.size, 3)
