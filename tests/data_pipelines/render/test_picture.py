import numpy as np
import pytest

from data_pipelines.render import picture, scene
from data_pipelines.render.backdrop import Backdrop
from data_pipelines.render.looks import draw_look, textured_body
from data_pipelines.render.picture import take_pictures
from hpof_jax.body.files import load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry import zbuffer

TO_LIGHT = np.array([0.6, 0.8, 0.0])


@pytest.fixture(autouse=True)
def uncompressed(monkeypatch):
    monkeypatch.setattr(picture, "COMPRESSION", {"none": 1.0})


@pytest.fixture(scope="module")
def skin(shots):
    """The dressed body in every frame of both shots, and its look."""
    body, textured, look = load_body(), textured_body(), draw_look(np.random.default_rng(3))
    rest, normals = scene.dress(textured, look, body, shots[2])
    weights = np.asarray(body.lbs_weights)[textured.vertex]
    posed = {
        name: scene.pose_points(shot, weights, rest, normals, TO_LIGHT) for name, shot in shots[3].items()
    }
    return look, posed


def take(shot, skin, camera="tripod", occluder=None, seed=0):
    look, posed = skin
    plate = np.full((*shot.window.size, 3), 128, np.uint8)
    backdrop = Backdrop(plate, occluder, None, shot.window.size)
    return list(
        take_pictures(
            np.random.default_rng(seed), shot, textured_body(), look, backdrop, *posed[camera], TO_LIGHT
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
def test_the_mask_is_that_of_a_z_buffer(shots, skin, camera):
    shot = shots[3][camera]
    window = shot.window
    for (_, mask), points in zip(take(shot, skin, camera), skin[1][camera][0]):
        pixels = points[:2].T / points[2][:, None] * window.focal_length + window.centre
        buffer = zbuffer.rasterize(pixels, points[2], textured_body().faces, window.size)
        union = np.sum((mask > 0) | buffer.mask)
        assert np.sum((mask > 0) != buffer.mask) < 0.002 * union


def test_the_person_differs_from_the_backdrop_and_casts_a_shadow(shots, skin):
    dark = []
    for seed in range(4):
        for image, mask in take(shots[3]["tripod"], skin, seed=seed)[::4]:
            inside, corner = mask > 0, image[:8, :8].astype(int)
            plain = corner.mean((0, 1))
            assert np.abs(image[inside] - plain).mean() > 3 * np.abs(corner - plain).mean()
            dark.append(np.mean(image[~inside].mean(axis=-1) < 0.9 * plain.mean()))
    assert max(dark) > 0.01


def test_an_occluder_is_not_in_the_mask(shots, skin):
    shot = shots[3]["tripod"]
    whole = take(shot, skin)[0][1]
    occluder = np.zeros(shot.window.size, np.uint8)
    occluder[np.nonzero(whole)[0].mean().astype(int) :] = 255
    image, mask = take(shot, skin, occluder=occluder)[0]
    np.testing.assert_array_equal(mask, np.where(occluder > 0, 0, whole))
    assert 0 < np.count_nonzero(mask) < np.count_nonzero(whole)


def test_fast_motion_is_blurred_and_the_mask_stays(shots, skin):
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


def test_a_person_outside_the_window_has_an_empty_mask(shots, skin):
    shot, (look, posed) = shots[3]["tripod"], skin
    points, cosine = posed["tripod"]
    away = points + np.float32([[100.0], [0.0], [0.0]])
    for image, mask in take(shot, (look, {"tripod": (away, cosine)})):
        assert not mask.any() and image.shape == (*shot.window.size, 3)


@pytest.mark.parametrize("kind, least, most", [("jpeg", 0.1, 6), ("h264", 0.1, 12)])
def test_compressed_pictures_are_nearly_the_same(shots, skin, monkeypatch, kind, least, most):
    shot = shots[3]["tripod"]
    clean = take(shot, skin)
    monkeypatch.setattr(picture, "COMPRESSION", {kind: 1.0})
    compressed, again = take(shot, skin), take(shot, skin)
    for (image, mask), (other, same), (once_more, _) in zip(clean, compressed, again, strict=True):
        np.testing.assert_array_equal(mask, same)
        np.testing.assert_array_equal(other, once_more)
        assert other.shape == image.shape
        assert least < np.abs(image.astype(int) - other).mean() < most


def test_a_video_that_cannot_be_written_is_a_user_error(shots, skin, monkeypatch):
    monkeypatch.setattr(picture, "COMPRESSION", {"h264": 1.0})
    monkeypatch.setattr(picture.imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/nowhere/ffmpeg")
    with pytest.raises(UserError, match="cannot be compressed as a video .*No such file"):
        take(shots[3]["tripod"], skin)


def test_tones_are_monotonic_and_some_drift():
    drifts = []
    for seed in range(20):
        tones = picture._tones(np.random.default_rng(seed), 90)
        assert tones.shape == (90, 1, 256, 3) and tones.dtype == np.uint8
        assert (np.diff(tones.astype(int), axis=2) >= 0).all() and (tones[:, 0, 0] == 0).all()
        middle = tones[:, 0, 128].astype(float).mean(axis=-1)
        drifts.append(np.ptp(middle) / middle.mean())
        assert np.abs(np.diff(middle)).max() < 0.15 * middle.mean()
    assert min(drifts) == 0 and max(drifts) > 0.05
