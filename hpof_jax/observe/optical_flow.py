"""Optical flow between neighbouring frames of a clip, forward and backward, in the person's box.

OpenCV's DIS (Kroeger et al., ECCV 2016), preset MEDIUM, runs in a square around the boxes of both frames. Or
the flow is read from another program's files. Either way it is checked forward against backward, and
resampled to `SIDE` pixels.
"""

import pathlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import jax
import numpy as np

from hpof_jax.archives import damage, map_array, open_archive
from hpof_jax.errors import UserError
from hpof_jax.geometry import flow
from hpof_jax.observe.crops import crop, square_to_frame
from hpof_jax.observe.packed import Packed

SIDE = 64  # pixels of a box, as the losses use them
FINE_SIDE = 256  # pixels of the square in which DIS runs: in 64, it misses half of the motion
FLO_MAGIC = 202021.25
NO_FLOW = np.zeros((2, SIDE, SIDE, 2), np.float16), np.zeros((2, SIDE, SIDE), bool)

_common_box = jax.jit(flow.common_box)
_between_boxes = jax.jit(flow.between_boxes)
_consistency = jax.jit(flow.consistency)


class LastFrames:
    """Takes the frames of a video one by one; gives the flow between the last two."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._greys: list[np.ndarray] = []

    def __call__(self, image: np.ndarray) -> None:
        """Takes the next frame, (H, W, 3) uint8 RGB."""
        self._greys = [*self._greys[-1:], cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)]

    def flow(self, box: np.ndarray, next_box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flow (2, SIDE, SIDE, 2) and where it is valid (2, SIDE, SIDE), of a person's boxes in the two frames.

        Args:
          box, next_box: (3,) [centre x, centre y, size] px. Where one has no size, no flow is valid.
        """
        if len(self._greys) < 2 or not (box[2] and next_box[2]):
            return NO_FLOW
        square = _square(box, next_box)
        picture, next_picture = (_cut(grey, square) for grey in self._greys)
        forward = self._dis.calc(picture, next_picture, None)
        backward = self._dis.calc(next_picture, picture, None)
        return _to_boxes(forward, backward, square, box, next_box, self._greys[0].shape)


class FlowTracker:
    """Takes the frames of a video one by one, with the person's box, and collects the flow between them."""

    def __init__(self):
        self._frames = LastFrames()
        self._boxes: list[np.ndarray] = []
        self._flow, self._valid = (Packed(one.shape, one.dtype) for one in NO_FLOW)

    def __call__(self, image: np.ndarray, box: np.ndarray | None, cut: bool = False) -> None:
        """Takes the next frame.

        Args:
          image: (H, W, 3) uint8 RGB.
          box: (3,) [centre x, centre y, size] px; None: the person is not seen.
          cut: a new shot begins with this frame: there is no flow from the last one.
        """
        self._frames(image)
        self._boxes.append(np.zeros(3, np.float32) if box is None else np.asarray(box, np.float32))
        if len(self._boxes) > 1:
            flow, valid = NO_FLOW if cut else self._frames.flow(*self._boxes[-2:])
            self._flow.append(flow)
            self._valid.append(valid)

    def arrays(self, packed: bool = False) -> dict[str, Any]:
        """flow, flow_valid and flow_box of the T frames so far: see `hpof_jax.observe.clip.Observations`.

        packed: flow and flow_valid are compressed.
        """
        flow, valid = (self._flow, self._valid) if packed else (np.array(self._flow), np.array(self._valid))
        return {"flow": flow, "flow_valid": valid, "flow_box": np.array(self._boxes, np.float32)}


def flow_in_boxes(
    forward: Iterable[np.ndarray],
    backward: Iterable[np.ndarray],
    boxes: np.ndarray,
    image_size: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Like `FlowTracker.arrays`, from another program's flow between whole frames.

    Args:
      forward, backward: T - 1 fields (H, W, 2) each, px: from frame t to t + 1, in the pixels of t, and from
        t + 1 back to t, in the pixels of t + 1. Unknown flow is NaN or, as Middlebury's tools write it,
        larger than 1e9.
      boxes: (T, 3) [centre x, centre y, size] px, zeros where the person is not seen.
      image_size: (H, W).
    """
    boxes = np.asarray(boxes, np.float32)
    pairs = []
    for there, back, box, next_box in zip(forward, backward, boxes[:-1], boxes[1:], strict=True):
        if box[2] and next_box[2]:
            square = _square(box, next_box)
            fields = _cut_field(there, square), _cut_field(back, square)
            pairs.append(_to_boxes(*fields, square, box, next_box, image_size))
        else:
            pairs.append(NO_FLOW)
    flows, valids = zip(*pairs, strict=True) if pairs else ((), ())
    return {
        "flow": np.array(flows, np.float16).reshape(-1, 2, SIDE, SIDE, 2),
        "flow_valid": np.array(valids, bool).reshape(-1, 2, SIDE, SIDE),
        "flow_box": boxes,
    }


def read_flow(path: str | pathlib.Path, count: int, image_size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yields the flow fields of a clip, (H, W, 2) float32 px, that another program wrote.

    Args:
      path: a folder of `.flo` files (Middlebury's format) in the order of their numbers, one such file, or an
        array (count, H, W, 2) in an `.npy` or `.npz` file.
      count: how many fields there must be.
      image_size: (H, W).

    Raises:
      UserError: the files cannot be read, or hold another number or size of fields.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir() or path.suffix.lower() == ".flo":
        files = [p for p in path.glob("*") if p.suffix.lower() == ".flo"] if path.is_dir() else [path]
        files.sort(key=lambda file: (len(file.name), file.name))  # flow2 before flow10
        fields, shape = map(_read_flo, files), (len(files), *image_size, 2)
    else:
        fields = _read_array(path)
        shape = fields.shape
    if shape[:1] != (count,):
        raise UserError(
            f"{path} holds {shape[0] if shape else 'no'} flow fields, and the clip of {count + 1} frames "
            f"needs {count}: give one from each frame to the next"
        )
    for field in fields:
        if field.shape != (*image_size, 2):
            raise UserError(
                f"{path} holds flow fields of shape {field.shape}, and the video's are {(*image_size, 2)}: "
                "make them from the video's own frames, at full size"
            )
        yield np.ascontiguousarray(field, np.float32)


def _read_flo(path: pathlib.Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            head = file.read(12)
            size = path.stat().st_size
            magic, width, height = struct.unpack("<fii", head) if len(head) == 12 else (0, 0, 0)
            if magic != FLO_MAGIC or min(width, height) < 1 or size != 12 + 8 * width * height:
                raise UserError(
                    f"the flow file {path} is damaged or not of Middlebury's .flo format: make it again"
                )
            with damage(f"the flow file {path}", "readable", "make it again"):
                return np.fromfile(file, "<f4").reshape(height, width, 2)
    except OSError as error:
        raise UserError(f"the flow file {path} cannot be read: {error.strerror or error}") from error


def _read_array(path: pathlib.Path) -> np.ndarray:
    kind = "one array in an .npy or .npz file, nor a folder of .flo files", "give one of these"
    with damage(f"the flow {path}", *kind):
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    if zipped:
        with open_archive(path, *kind) as archive, damage(f"the flow {path}", *kind):
            if len(archive.members) != 1:
                raise ValueError(f"it holds {len(archive.members)} arrays")
            (fields,) = archive.arrays().values()
    else:
        fields = map_array(path, *kind)
    if fields.dtype.kind != "f":
        raise UserError(f"the flow {path} holds {fields.dtype} numbers: give floating point, in pixels")
    return fields


def _square(box: np.ndarray, next_box: np.ndarray) -> tuple[int, int, int]:
    """[left, top, side] in whole pixels of a square around both boxes."""
    x, y, size = np.asarray(_common_box(box, next_box), np.float64)
    left, top = int(np.floor(x - size / 2)), int(np.floor(y - size / 2))
    return left, top, int(np.ceil(size)) + 1


def _cut(grey: np.ndarray, square: tuple[int, int, int]) -> np.ndarray:
    """The square of a grey image, at FINE_SIDE pixels; outside the image, its border pixels are repeated."""
    left, top, side = square
    rows, columns = (np.clip(np.arange(side) + at, 0, end - 1) for at, end in zip((top, left), grey.shape))
    smooth = cv2.INTER_AREA if side > FINE_SIDE else cv2.INTER_LINEAR
    return cv2.resize(grey[rows][:, columns], (FINE_SIDE, FINE_SIDE), interpolation=smooth)


def _cut_field(field: np.ndarray, square: tuple[int, int, int]) -> np.ndarray:
    """The square of a flow field, at FINE_SIDE pixels and in their unit."""
    left, top, side = square
    to_frame = square_to_frame((left + side / 2, top + side / 2, side))
    cut = crop(field, to_frame, (FINE_SIDE, FINE_SIDE), cv2.BORDER_REPLICATE)
    return cut / np.float32(side / FINE_SIDE)


def _to_boxes(forward, backward, square, box, next_box, image_size):
    """Flow (2, SIDE, SIDE, 2) and validity (2, SIDE, SIDE) in both directions, from fields on the square."""
    ways = (forward, backward, box, next_box), (backward, forward, next_box, box)
    flows, valids = zip(*(_to_box(*way, square, image_size) for way in ways), strict=True)
    return np.stack(flows), np.stack(valids)


def _to_box(there, back, box, next_box, square, image_size):
    *corner, side = square
    agree = np.asarray(_consistency(there, back))
    pixels = np.moveaxis(np.indices((SIDE, SIDE), np.float32), 0, -1)[..., ::-1] + 0.5
    place = (pixels / SIDE - 0.5) * box[2] + box[:2]
    fine = FINE_SIDE / side
    to_square = square_to_frame((*(box[:2] - corner) * fine, box[2] * fine))
    there, agree = (
        crop(values, to_square, (SIDE, SIDE), cv2.BORDER_REPLICATE)
        for values in (there, agree.astype(np.float32))
    )
    moved = there * np.float32(side / FINE_SIDE)
    found = np.asarray(_between_boxes(moved, box, next_box))
    valid = (agree > 0.5) & _inside(place, image_size) & _inside(place + moved, image_size)
    valid &= _inside(pixels + found, (SIDE, SIDE))
    return np.where(valid[..., None], found, 0).astype(np.float16), valid


def _inside(points, size):
    return np.all((points >= 0) & (points <= (size[1], size[0])), axis=-1)
