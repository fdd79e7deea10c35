import cv2
import numpy as np
import pytest

from data_pipelines.render.backdrop import _clutter, _homographies, _play, list_pictures, make_backdrop
from hpof_jax.errors import UserError


def test_a_still_camera_shows_the_plate_in_every_frame(shots):
    shot = shots[3]["tripod"]
    backdrop = make_backdrop(np.random.default_rng(0), shot)
    (first, _), (last, _) = backdrop.frame(0), backdrop.frame(11)
    assert first.shape == (*shot.window.size, 3) and first.dtype == np.uint8 and first.std() > 1
    np.testing.assert_array_equal(first, last)
    first[:] = 0  # a frame is a copy
    np.testing.assert_array_equal(backdrop.frame(0)[0], last)


def test_a_texel_of_the_plate_stays_at_one_place_in_the_world(shots):
    shot = shots[3]["hand"]
    backdrop = make_backdrop(np.random.default_rng(0), shot)
    height, width = shot.window.size
    assert backdrop.frame(0)[0].shape == (height, width, 3)
    # The same texel of the plate, and the ray to where each frame shows it.
    middle = np.linalg.inv(backdrop.to_window[6]) @ (width / 2, height / 2, 1)
    shown = backdrop.to_window @ middle
    pixels = shown[:, :2] / shown[:, 2:] + 0.5 - shot.window.centre
    rays = np.column_stack([pixels, np.full(len(pixels), shot.window.focal_length)])
    rays = np.einsum("tji,tj->ti", shot.to_camera, rays)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    np.testing.assert_allclose(rays, np.tile(rays[0], (len(rays), 1)), atol=1e-5)
    assert np.abs(pixels - pixels[0]).max() > 2


@pytest.mark.parametrize("seed", range(8))
def test_every_backdrop_fits_its_window(shots, seed):
    shot = shots[3]["hand" if seed % 2 else "tripod"]
    backdrop = make_backdrop(np.random.default_rng(seed), shot)
    image, occluder = backdrop.frame(5)
    assert image.shape == (*shot.window.size, 3) and image.dtype == np.uint8
    assert occluder is None or (occluder.shape == shot.window.size and set(np.unique(occluder)) <= {0, 255})
    again = make_backdrop(np.random.default_rng(seed), shot)
    np.testing.assert_array_equal(again.plate, backdrop.plate)


def test_own_pictures_are_shown(shots, tmp_path):
    green = np.zeros((400, 500, 3), np.uint8)
    green[:] = (30, 220, 30)
    (tmp_path / "inside").mkdir()
    cv2.imwrite(str(tmp_path / "inside" / "lawn.PNG"), green)
    cv2.imwrite(str(tmp_path / "notes.bmp"), green)
    (tmp_path / "read.txt").write_text("no picture")
    pictures = list_pictures(tmp_path)
    assert [path.name for path in pictures] == ["lawn.PNG", "notes.bmp"]
    shares = []
    for seed in range(12):
        plate = make_backdrop(np.random.default_rng(seed), shots[3]["tripod"], pictures).plate.astype(int)
        shares.append(np.mean(plate[..., 1] > 2 * np.maximum(plate[..., 0], plate[..., 2])))
    assert np.sum(np.array(shares) > 0.3) >= 4


@pytest.mark.parametrize("camera", ["tripod", "hand"])
def test_own_videos_play_behind_the_person(shots, tmp_path, camera):
    """Five frames, each brighter than the one before, are played forwards, backwards and forwards again."""
    writer = cv2.VideoWriter(str(tmp_path / "wave.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (320, 240))
    for number in range(5):
        writer.write(np.full((240, 320, 3), 60 + 20 * number, np.uint8))
    writer.release()
    shot, videos = shots[3][camera], list_pictures(tmp_path)
    moving = 0
    for seed in range(6):
        backdrop = make_backdrop(np.random.default_rng(seed), shot, videos)
        if isinstance(backdrop.plate, list):
            moving += 1
            images = [backdrop.frame(number)[0] for number in range(12)]
            assert {image.shape for image in images} == {(*shot.window.size, 3)}
            light = np.array([image.mean() for image in images])
            np.testing.assert_array_equal(np.sign(np.diff(light)), [1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1])
            assert max(image.std() for image in images) < 2
    assert moving >= 2


def test_a_random_stretch_of_a_long_video_is_shown(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "long.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 60, (64, 48))
    for number in range(200):
        writer.write(np.full((48, 64, 3), 20 + number, np.uint8))
    writer.release()
    starts = set()
    for seed in range(8):
        shown = _play(np.random.default_rng(seed), tmp_path / "long.avi", np.array([32, 24]), 10)
        light = np.array([image.mean() for image in shown])
        assert len(shown) == 10 and (np.diff(light) > 0.8).all()  # two steps of the video, dimmed or not
        starts.add(round(light[0]))
    assert len(starts) > 4


def test_the_scale_of_the_plate_does_not_move_the_backdrop(shots):
    """Texels of a fine and a coarse plate at the same place are shown at the same place."""
    shot = shots[3]["hand"]
    middle, low = shot.to_camera[6], np.array([-20.0, -30.0])
    fine, coarse = (_homographies(shot, middle, low, scale) for scale in (1.0, 0.5))
    for texel in ((10.0, 40.0), (100.0, 70.0)):
        shown = fine @ (*texel, 1), coarse @ (*((np.array(texel) + 0.5) / 2 - 0.5), 1)
        np.testing.assert_allclose(*(s[:, :2] / s[:, 2:] for s in shown), atol=1e-6)


def test_a_folder_without_a_picture_and_a_damaged_one(shots, tmp_path):
    with pytest.raises(UserError, match="no picture"):
        list_pictures(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError, match="a.jpg cannot be read"):
        for seed in range(9):
            make_backdrop(np.random.default_rng(seed), shots[3]["tripod"], list_pictures(tmp_path))
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.mp4").write_bytes(b"not a video")
    with pytest.raises(UserError, match="b.mp4 is not a video that can be read"):
        for seed in range(9):
            make_backdrop(np.random.default_rng(seed), shots[3]["tripod"], list_pictures(tmp_path))


def test_clutter_leaves_the_rest_of_the_picture_as_it_is():
    changed = 0
    for seed in range(20):
        plate = np.full((120, 160, 3), 100, np.uint8)
        _clutter(np.random.default_rng(seed), plate)
        assert np.median(plate) == 100
        changed += (plate != 100).any()
    assert changed > 10
