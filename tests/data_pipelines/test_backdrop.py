import cv2
import numpy as np
import pytest

from data_pipelines.backdrop import list_pictures, make_backdrop
from hpof_jax.errors import UserError


def test_a_camera_on_a_tripod_sees_one_picture(shots):
    shot = shots[3]["tripod"]
    backdrop = make_backdrop(np.random.default_rng(0), shot)
    (first, _), (last, _) = backdrop.frame(0), backdrop.frame(11)
    assert first.shape == (*shot.window.size, 3) and first.dtype == np.uint8 and first.std() > 1
    np.testing.assert_array_equal(first, last)
    first[:] = 0  # what is drawn into a frame
    np.testing.assert_array_equal(backdrop.frame(0)[0], last)


def test_what_a_turning_camera_sees_stays_where_it_is_in_the_world(shots):
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
def test_any_surrounding_fits_its_window(shots, seed):
    shot = shots[3]["hand" if seed % 2 else "tripod"]
    backdrop = make_backdrop(np.random.default_rng(seed), shot)
    image, cover = backdrop.frame(5)
    assert image.shape == (*shot.window.size, 3) and image.dtype == np.uint8
    assert cover is None or (cover.shape == shot.window.size and set(np.unique(cover)) <= {0, 255})
    again = make_backdrop(np.random.default_rng(seed), shot)
    np.testing.assert_array_equal(again.plate, backdrop.plate)


def test_own_pictures_show_up(shots, tmp_path):
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


def test_a_folder_without_a_picture_and_a_damaged_one(shots, tmp_path):
    with pytest.raises(UserError, match="no picture"):
        list_pictures(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError, match="a.jpg cannot be read"):
        for seed in range(9):
            make_backdrop(np.random.default_rng(seed), shots[3]["tripod"], list_pictures(tmp_path))
