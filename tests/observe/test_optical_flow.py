"""The flow between a clip's frames: found by DIS as they pass, or read from another program's files."""

import struct

import cv2
import numpy as np
import pytest

from hpof_jax.errors import UserError
from hpof_jax.geometry import flow
from hpof_jax.observe.optical_flow import SIDE, FlowTracker, flow_in_boxes, read_flow

HEIGHT, WIDTH = 240, 320
BOXES = np.array([[150, 120, 160], [156, 118, 150], [160, 119, 154]], np.float32)
CENTRES = np.moveaxis(np.indices((HEIGHT, WIDTH)), 0, -1)[..., ::-1] + 0.5
STEP = np.array([[1.02, -0.03, 4.0], [0.03, 1.02, -3.0]])  # everything turns, grows and goes right and up


def pixels_of(box):
    """(SIDE, SIDE, 2) the frame's pixels at which the box's pixels lie."""
    return (np.moveaxis(np.indices((SIDE, SIDE)), 0, -1)[..., ::-1] + 0.5 - SIDE / 2) * box[2] / SIDE + box[
        :2
    ]


def moves(points, step):
    return points @ step[:, :2].T + step[:, 2] - points


def back(step):
    return cv2.invertAffineTransform(step)


def truth():
    """The exact flow of `film` between the boxes, (2, 2, SIDE, SIDE, 2)."""
    ways = [[(0, 1, STEP), (1, 0, back(STEP))], [(1, 2, STEP), (2, 1, back(STEP))]]
    return np.array(
        [
            [
                flow.between_boxes(np.float32(moves(pixels_of(BOXES[a]), step)), BOXES[a], BOXES[b])
                for a, b, step in pair
            ]
            for pair in ways
        ]
    )


def film():
    """Three frames of a textured wall, each moved on by STEP."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3))
    picture = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 10))
    picture = np.uint8(np.clip(128 + 60 * picture / picture.std(), 0, 255))
    index_map = STEP.copy()  # OpenCV counts from pixel centres
    index_map[:, 2] += STEP[:, :2] @ [0.5, 0.5] - 0.5
    frames = [picture]
    for _ in range(2):
        frames.append(cv2.warpAffine(frames[-1], index_map, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))
    return frames


def test_a_film_gives_the_flow_between_the_boxes():
    tracker = FlowTracker()
    for frame, box in zip(film(), BOXES):
        tracker(frame, box)
    found = tracker.arrays()
    assert found["flow"].shape == (2, 2, SIDE, SIDE, 2) and found["flow"].dtype == np.float16
    assert found["flow_valid"].shape == (2, 2, SIDE, SIDE) and found["flow_valid"].dtype == bool
    np.testing.assert_array_equal(found["flow_box"], BOXES)
    valid = found["flow_valid"]
    assert valid.mean() > 0.85 and not found["flow"][~valid].any()
    error = np.linalg.norm(found["flow"] - truth(), axis=-1)
    # A pixel of the box is 2.4 of the frame.
    assert np.median(error[valid]) < 0.05 and np.quantile(error[valid], 0.95) < 0.3
    assert np.linalg.norm(truth(), axis=-1).mean() > 2


def test_a_frame_without_the_person_has_no_flow():
    frames = film()
    tracker = FlowTracker()
    assert tracker.arrays()["flow"].shape == (0, 2, SIDE, SIDE, 2)
    for frame, box in zip(frames * 2, [BOXES[0], None, BOXES[0], BOXES[1], None]):
        tracker(frame, box)
    found = tracker.arrays()
    assert found["flow_valid"].any(axis=(1, 2, 3)).tolist() == [False, False, True, False]
    assert found["flow_box"][:, 2].tolist() == [160, 0, 160, 150, 0]
    single = FlowTracker()
    single(frames[0], BOXES[0])
    assert {name: array.shape for name, array in single.arrays().items()} == {
        "flow": (0, 2, SIDE, SIDE, 2),
        "flow_valid": (0, 2, SIDE, SIDE),
        "flow_box": (1, 3),
    }


@pytest.mark.parametrize("box", [(20, 120, 160), (300, 230, 100), (-500, 120, 60), (160, 120, 900)])
def test_nothing_is_known_beyond_the_picture(box):
    frame = film()[0]
    tracker = FlowTracker()
    for _ in range(2):
        tracker(frame, np.array(box, np.float32))
    place = pixels_of(np.array(box))
    inside = np.all((place >= 0) & (place <= (WIDTH, HEIGHT)), axis=-1)
    np.testing.assert_array_equal(tracker.arrays()["flow_valid"], np.broadcast_to(inside, (1, 2, SIDE, SIDE)))


def test_flow_of_whole_frames_is_cut_to_the_boxes():
    forward, backward = (np.float32([moves(CENTRES, step)] * 2) for step in (STEP, back(STEP)))
    found = flow_in_boxes(forward, backward, BOXES, (HEIGHT, WIDTH))
    valid = found["flow_valid"]
    assert valid.mean() > 0.85
    np.testing.assert_allclose(found["flow"][valid], truth()[valid], atol=0.01)

    for unknown in (np.nan, 1.7e9):
        forward[0, 100:140, 100:140] = unknown
        holed = flow_in_boxes(forward, backward, BOXES, (HEIGHT, WIDTH))
        place = pixels_of(BOXES[0])
        hole = np.all((place > 100) & (place < 140), axis=-1)
        assert not holed["flow_valid"][0, 0][hole].any() and np.isfinite(holed["flow"]).all()
        around = np.any((place < 96) | (place > 144), axis=-1)
        np.testing.assert_array_equal(holed["flow_valid"][0, 0][around], valid[0, 0][around])
    boxes = BOXES * [[1], [1], [0]]
    unseen = flow_in_boxes(backward * 0, backward * 0, boxes, (HEIGHT, WIDTH))["flow_valid"]
    assert unseen.any(axis=(1, 2, 3)).tolist() == [True, False]


def test_files_of_other_programs(tmp_path):
    fields = np.random.default_rng(0).normal(size=(11, 6, 8, 2)).astype(np.float32)
    (tmp_path / "flo").mkdir()
    for number, field in enumerate(fields):
        cv2.writeOpticalFlow(str(tmp_path / "flo" / f"frame{number}.flo"), field)
    np.save(tmp_path / "raft.npy", fields.astype(">f8"))
    np.savez_compressed(tmp_path / "raft.npz", flow=fields)
    for name in ("flo", "raft.npy", "raft.npz"):
        read = list(read_flow(tmp_path / name, 11, (6, 8)))
        assert {field.dtype for field in read} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(read, fields)
    np.testing.assert_array_equal(
        *map(list, [read_flow(tmp_path / "flo" / "frame3.flo", 1, (6, 8)), fields[3:4]])
    )


def flo(magic=202021.25, width=8, height=6, values=96):
    return struct.pack("<fii", magic, width, height) + bytes(4 * values)


BROKEN = {
    "empty.flo": b"",
    "magic.flo": flo(magic=1.0),
    "cut.flo": flo(values=95),
    "long.flo": flo(values=97),
    "huge.flo": flo(width=2**31 - 1, height=2**31 - 1),
    "negative.flo": flo(width=-8, height=-6),
    "text.npy": b"no array",
    "text.npz": b"no array",
    "head.npy": b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999, 8, 2)} \n",
    "flow.mp4": b"no array",
}


@pytest.mark.parametrize(
    "name", [*BROKEN, "missing.flo", "missing.npy", "pickle.npy", "two.npz", "whole.npy"]
)
def test_a_broken_file_ends_in_one_sentence(tmp_path, name):
    if name in BROKEN:
        (tmp_path / name).write_bytes(BROKEN[name])
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    np.save(tmp_path / "whole.npy", np.zeros((1, 6, 8, 2), int))
    with pytest.raises(UserError, match=name) as error:
        list(read_flow(tmp_path / name, 1, (6, 8)))
    assert "\n" not in str(error.value)


def test_flow_of_another_video_is_refused(tmp_path):
    np.save(tmp_path / "raft.npy", np.zeros((3, 6, 8, 2), np.float32))
    np.save(tmp_path / "number.npy", np.float32(3))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds 3 flow fields, and the clip of 5 frames needs 4"):
        list(read_flow(tmp_path / "raft.npy", 4, (6, 8)))
    with pytest.raises(UserError, match=r"of shape \(6, 8, 2\), and the video's are \(8, 6, 2\)"):
        list(read_flow(tmp_path / "raft.npy", 3, (8, 6)))
    for name, found in (("number.npy", "no"), ("none", "0")):
        with pytest.raises(UserError, match=f"{name} holds {found} flow fields"):
            list(read_flow(tmp_path / name, 4, (6, 8)))
