"""A body frame by frame: a step that sees no later frame, for `hpof_jax.live` and for whole clips alike.

`Stepper.step` maps a state and an observation to the next state and the body. It changes neither, and the same
observations always give the same bodies: `run` over a clip equals a live stream.

Each step runs the model on the last frames, as many as its encoder sees before a frame, and keeps the last frame's
answer. That is what the model answers at the end of a clip. The shape follows from the mean of all features so far,
so it converges to one shape. Rotations pass a one-euro filter; the place follows from the last frames' landmarks.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpof_jax import confidence
from hpof_jax.body import BodyModel
from hpof_jax.body.mirror import mirror_observations
from hpof_jax.body.model import keypoints, rest_joints
from hpof_jax.geometry import camera, temporal
from hpof_jax.geometry.placement import place
from hpof_jax.geometry.rotations import matrix_to_axis_angle, matrix_to_sixd, sixd_to_matrix
from hpof_jax.models.flip import average_flipped, disagreement
from hpof_jax.models.hpof import HPOF, Prediction
from hpof_jax.models.inputs import make_inputs

MODEL_FPS = 30.0
PAST = 40  # samples before a frame, for an encoder that has no border of its own
LEAST = 25  # samples that the model gets at least: a shorter past is extended by holding its first frame
PLACED = 15  # frames whose landmarks decide where the body is
# One-euro filters (Casiez, Roussel and Vogel, CHI 2012): Hz at rest, Hz more for each unit of speed, Hz of the speed.
TURN_CUTOFFS = (1.0, 1.5, 1.0)  # of rotations in the 6D representation
DEPTH_CUTOFFS = (2.0, 0.0, 1.0)  # of the pelvis's depth; its place in the picture is kept


class Observation(NamedTuple):
    """What the detector saw in one frame; zeros where it did not see the person."""

    time: float  # seconds, ascending
    landmarks_2d: np.ndarray  # (33, 3) [x px, y px, visibility]
    landmarks_3d: np.ndarray  # (33, 3) metres about the mid-hip, camera axes
    seen: bool


class Body(NamedTuple):
    """The body in one frame: metres, camera frame, names and meanings as in `hpof_jax.Motion`."""

    time: float
    seen: bool
    pose: np.ndarray  # (72,)
    betas: np.ndarray  # (10,) of what was seen so far
    trans: np.ndarray  # (3,)
    joints: np.ndarray  # (24, 3)
    confidence: float


@dataclasses.dataclass(frozen=True)
class State:
    """What a step keeps of the past. Rows of K frames, the newest last."""

    times: np.ndarray  # (K,) seconds
    landmarks_2d: np.ndarray  # (K, 33, 3)
    landmarks_3d: np.ndarray  # (K, 33, 3)
    seen: np.ndarray  # (K,) bool
    shape: tuple  # sums of the features, (2, C), and how many there are
    smooth: tuple  # 6D rotations (24, 6) and their speeds, per second
    depth: tuple  # the pelvis's depth (1,), metres, and its speed
    begun: bool  # there is a body to smooth with
    points: np.ndarray  # (<= PLACED, 33, 3) landmarks about the pelvis, metres
    guess: np.ndarray  # (<= PLACED, 3) places from the network, metres
    box: np.ndarray  # (<= PLACED, 3) px
    measured: tuple  # (time, residual, disagreement) of each frame of the last `confidence.WINDOW`
    sure: tuple  # the time and the confidence of the last frame that showed the person


class Stepper:
    """The causal model of one video.

    Args:
      model, params: of `models.weights.load_weights` and `models.build.model_for`.
      image_size: (2,) [height, width] px. focal_length: px.
    """

    def __init__(
        self, model: HPOF, params: Any, body: BodyModel, image_size: np.ndarray, focal_length: float
    ):
        self._model, self._params, self._body = model, params, body
        self.focal_length, self._focal_length = focal_length, np.float32(focal_length)
        self._image_size = np.asarray(image_size, np.float32)
        self._samples = (PAST if model.encoder.border is None else model.encoder.border) + 1

    def start(self) -> State:
        """The state before the first frame."""
        channels = self._model.encoder.channels
        rows = np.zeros((0, 33, 3), np.float32)
        return State(
            times=np.zeros(0),
            landmarks_2d=rows,
            landmarks_3d=rows,
            seen=np.zeros(0, bool),
            shape=(np.zeros((2, channels), np.float32), np.float32(0)),
            smooth=(np.zeros((24, 6), np.float32), np.zeros((24, 6), np.float32)),
            depth=(np.zeros(1), np.zeros(1)),
            begun=False,
            points=rows,
            guess=np.zeros((0, 3)),
            box=np.zeros((0, 3)),
            measured=(),
            sure=(0.0, 0.0),
        )

    def step(self, state: State, new: Observation) -> tuple[State, Body | None]:
        """The next state, and the body in the new frame; None while nobody was seen within the model's past."""
        state = self._with(state, new)
        if not state.seen[state.times > new.time - self._samples / MODEL_FPS].any():
            return dataclasses.replace(
                state, begun=False, points=state.points[:0], guess=state.guess[:0], box=state.box[:0]
            ), None
        elapsed = np.float32(new.time - state.times[-2] if state.begun and len(state.times) > 1 else np.inf)
        found = _predict(
            self._model, self._params, self._body, self._window(state), state.shape, new.seen,
            (*state.smooth, elapsed, np.float32(TURN_CUTOFFS)), self._focal_length, self._image_size,
        )  # fmt: skip
        shape, smooth, betas, pose, rest, joints, points, guess, box, apart = jax.tree.map(np.asarray, found)

        def kept(before: np.ndarray, now: np.ndarray) -> np.ndarray:
            return np.concatenate([before, now[None]])[-PLACED:]

        points, guess, box = kept(state.points, points), kept(state.guess, guess), kept(state.box, box)
        rows = slice(len(state.times) - len(points), None)
        camera_of = self._focal_length, self._image_size
        landmarks = state.landmarks_2d[rows]
        pelvis = place(points, landmarks, box[:, 2], guess, *camera_of, state.times[rows])[-1]
        depth = _one_euro(pelvis[2:], *state.depth, elapsed, DEPTH_CUTOFFS)
        measured, sure = state.measured, state.sure
        if new.seen:
            residual = confidence.residuals(points[-1:] + pelvis, landmarks[-1:], box[-1:], *camera_of)[0]
            recent = [one for one in measured if one[0] > new.time - confidence.WINDOW]
            measured = (*recent, (new.time, float(residual), float(apart)))
            means = np.mean([one[1:] for one in measured], axis=0)
            sure = new.time, float(confidence.probability(*means))
        now = sure[1] if new.seen else confidence.in_gap(sure[1], new.time - sure[0])
        pelvis = (pelvis * (depth[0] / pelvis[2])).astype(np.float32)  # along the ray
        body = Body(new.time, new.seen, pose, betas, pelvis - rest, joints + pelvis, float(now))
        state = dataclasses.replace(
            state, shape=shape, smooth=smooth, depth=depth, begun=True, points=points, guess=guess, box=box,
            measured=measured, sure=sure,
        )  # fmt: skip
        return state, body

    def run(self, observations: Iterable[Observation]) -> Iterator[Body | None]:
        """The bodies of a whole stream."""
        state = self.start()
        for new in observations:
            state, body = self.step(state, new)
            yield body

    def _with(self, state: State, new: Observation) -> State:
        """The state with the new frame, and without frames that no later sample needs."""
        times = np.append(state.times, new.time)
        oldest = new.time - self._samples / MODEL_FPS
        # One frame before the oldest sample stays, to interpolate with.
        drop = min(
            max(int(np.searchsorted(times, oldest, side="right")) - 1, 0), max(len(times) - PLACED - 1, 0)
        )
        return dataclasses.replace(
            state,
            times=times[drop:],
            landmarks_2d=np.concatenate([state.landmarks_2d, new.landmarks_2d[None]])[drop:],
            landmarks_3d=np.concatenate([state.landmarks_3d, new.landmarks_3d[None]])[drop:],
            seen=np.append(state.seen, new.seen)[drop:],
        )

    def _window(self, state: State) -> dict[str, np.ndarray]:
        """The past at the model's rate, ending with the newest frame, as `make_inputs` takes it."""
        times = state.times - state.times[-1]
        wanted = np.arange(1 - self._samples, 1) / MODEL_FPS
        known = max(int(np.sum(wanted >= times[0] - 1e-6)), LEAST)
        position = np.interp(wanted, times, np.arange(len(times)))
        position = np.where(np.abs(position - np.round(position)) < 1e-3, np.round(position), position)
        step = np.median(np.diff(times)) if len(times) > 1 else 1 / MODEL_FPS
        frames, share = temporal.local_means(position, max(1 / (step * MODEL_FPS), 1.0), state.seen)
        lower, upper, _ = temporal.neighbours(position)
        seen = state.seen[lower] & state.seen[upper]
        means = (
            np.einsum("nk,nk...->n...", share.astype(np.float32), values[frames]) * seen[:, None, None]
            for values in (state.landmarks_2d, state.landmarks_3d)
        )
        mask = np.arange(self._samples) >= self._samples - known
        parts = dict(zip(("landmarks_2d", "landmarks_3d"), means), seen=seen, mask=mask)
        return {name: value[None] for name, value in parts.items()}


@functools.partial(jax.jit, static_argnums=0)
def _predict(model, params, body, window, shape, seen, smooth, focal_length, image_size):
    """The last frame of a window: the new shape and smoothing, and what the body follows from."""
    batch = {**window, "image_size": image_size[None], "focal_length": focal_length[None]}
    straight, mirrored = make_inputs(**batch), make_inputs(**mirror_observations(batch))
    inputs = jax.tree.map(lambda *x: jnp.concatenate(x), straight, mirrored)

    def apply(method, *args):
        return model.apply({"params": params}, *args, method=method)

    encoded = apply(HPOF.encode, inputs.features, inputs.mask)[:, -1:]
    total, count = shape[0] + encoded[:, 0] * seen, shape[1] + seen
    betas = apply(HPOF.shape, total[:, None] / jnp.maximum(count, 1.0), jnp.ones((2, 1), bool))
    rotations, cam = apply(HPOF.fitted_pose, encoded, inputs.features[:, -1:], betas, body)
    both = (Prediction(betas[n : n + 1], rotations[n : n + 1], cam[n : n + 1]) for n in (0, 1))
    mean = average_flipped(*both)
    betas = mean.betas[0, 0]
    apart = disagreement(rotations[:1], rotations[1:], body, betas)[0, 0]
    sixd, speed = _one_euro(matrix_to_sixd(mean.rotations[0, 0]), *smooth)
    turns = sixd_to_matrix(sixd)
    points, joints = keypoints(body, body.landmarks, betas, turns)
    box = straight.box[0, -1]
    guess = camera.cam_to_translation(mean.cam[0, 0], box, focal_length, image_size)
    pose = matrix_to_axis_angle(turns).reshape(72)
    pelvis = joints[0]
    rest = rest_joints(body, betas)[0]
    return (
        (total, count),
        (sixd, speed),
        betas,
        pose,
        rest,
        joints - pelvis,
        points - pelvis,
        guess,
        box,
        apart,
    )


def _one_euro(value, before, speed, elapsed, cutoffs):
    """The filtered value (..., D) and its speed, `elapsed` seconds after `before`; if infinite, the value itself.

    cutoffs: (3,) Hz at rest, Hz more for each unit of speed, Hz of the speed.
    """

    def share(cutoff):
        return 1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff * elapsed))

    speed = speed + share(cutoffs[2]) * ((value - before) / elapsed - speed)
    norm = (speed**2).sum(axis=-1, keepdims=True) ** 0.5
    return before + share(cutoffs[0] + cutoffs[1] * norm) * (value - before), speed
