import cv2
import numpy as np
import pytest

from hpof_jax.observe.crops import crop, mask_in_square, person_crops, square_to_frame


def ramp(height=40, width=60):
    """An image of its own coordinates: pixel (i, j) is (j + 0.5, i + 0.5)."""
    y, x = np.mgrid[:height, :width] + np.float32(0.5)
    return np.dstack([x, y]).astype(np.float32)


@pytest.mark.parametrize("size", [(10, 10), (7, 20), (30, 30)])
def test_a_crop_holds_the_pixels_at_their_centres(size):
    angle = 0.3
    axes = 12 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_frame = np.column_stack([axes, (20.0, 10.0)])
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    unit = np.dstack([columns / size[1], rows / size[0]])
    expected = unit @ to_frame[:, :2].T + to_frame[:, 2]
    np.testing.assert_allclose(crop(ramp(), to_frame, size), expected, atol=0.05)  # OpenCV rounds to 1/32 px


def test_the_whole_image_is_its_own_crop():
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    np.testing.assert_array_equal(crop(image, square_to_frame((10, 10, 20)), (20, 20)), image)


def test_outside_the_image_is_black_or_goes_on():
    image = np.full((20, 20), 200, np.uint8)
    beside = square_to_frame((-30, 10, 20))
    assert not crop(image, beside, (8, 8)).any()
    assert (crop(image, beside, (8, 8), cv2.BORDER_REPLICATE) == 200).all()


def test_masks_lie_on_the_frame():
    mask = np.zeros((128, 128), np.uint8)
    mask[32:96, 32:96] = 255  # the middle of its square
    to_frame = square_to_frame((40, 30, 40))
    whole = mask_in_square(mask, to_frame, np.array([40, 30, 80]), 80)[10:70]
    expected = np.zeros((60, 80))
    expected[20:40, 30:50] = 1
    np.testing.assert_allclose(whole, expected, atol=0.6)  # its edge is soft
    np.testing.assert_allclose(whole.sum(), expected.sum(), rtol=0.01)
    square = mask_in_square(mask, to_frame, np.array([45.0, 30.0, 20.0]), 10)
    np.testing.assert_allclose(square.sum(0), [10] * 7 + [5] + [0] * 2, atol=3)  # x from 35 to 55, 2 px each
    assert not mask_in_square(mask, np.zeros((2, 3)), np.array([40, 30, 80]), 80).any()  # nobody is seen


def test_crops_for_a_network_have_imagenets_mean_and_deviation():
    image = np.empty((60, 80, 3), np.uint8)
    image[:] = (124, 116, 104)  # the mean, rounded
    boxes = np.float32([[40, 30, 20], [-100, 30, 20]])
    inside, outside = person_crops(image, boxes)
    assert inside.shape == (224, 224, 3) and inside.dtype == np.float32
    np.testing.assert_allclose(inside, np.zeros_like(inside), atol=0.02)
    np.testing.assert_allclose(outside[0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)
    assert person_crops(image, boxes[:0], 32).shape == (0, 32, 32, 3)
