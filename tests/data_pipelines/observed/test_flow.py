import numpy as np
import pytest

from data_pipelines.observed.flow import stored_flow
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.optical_flow import SIDE

FRAMES = 6


@pytest.fixture
def clip():
    """Six frames whose flow is the frame's number to the right, with masks that cover everything."""
    flow = np.zeros((FRAMES - 1, 2, SIDE, SIDE, 2), np.float16)
    flow[..., 0] = np.arange(FRAMES - 1)[:, None, None, None]
    return Observations(
        landmarks_2d=np.zeros((FRAMES, 33, 3), np.float32),
        landmarks_3d=np.zeros((FRAMES, 33, 3), np.float32),
        seen=np.ones(FRAMES, bool),
        image_size=np.float32([100, 100]),
        focal_length=np.float32(100),
        fps=np.float32(30),
        masks=np.full((FRAMES, 8, 8), 255, np.uint8),
        mask_to_frame=np.tile(np.float32([[100, 0, 0], [0, 100, 0]]), (FRAMES, 1, 1)),
        flow=flow,
        flow_valid=np.ones(flow.shape[:-1], bool),
        flow_box=np.tile(np.float32([50, 50, 60]), (FRAMES, 1)),
    )


def test_flow_is_that_of_consecutive_frames_of_the_window(clip):
    stored = stored_flow(np.random.default_rng(0), clip, np.arange(1, 6), 3)
    first = 1 + int(stored["flow_first"])
    np.testing.assert_array_equal(stored["flow"][:, 0, 0, 0, 0], [first, first + 1])
    assert stored["masks"].shape == (3, SIDE, SIDE) and stored["masks"].min() > 250
    assert stored["flow_box"].shape == (3, 3) and stored["has_flow"] and stored["has_mask"]


def test_padding_is_avoided(clip):
    window = np.array([3, 4, 5, 5, 5, 5])  # three frames, and the last one repeated
    for seed in range(8):
        assert stored_flow(np.random.default_rng(seed), clip, window, 3)["flow_first"] == 0
