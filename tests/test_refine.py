import dataclasses

import jax
import numpy as np
import pytest

from hpof_jax import refine as refine_module
from hpof_jax.body import forward, load_body
from hpof_jax.body.skeletons import SMPL_JOINTS
from hpof_jax.errors import UserError
from hpof_jax.geometry import zbuffer
from hpof_jax.motion import Motion
from hpof_jax.observe.clip import Observations
from hpof_jax.observe.crops import square_to_frame
from hpof_jax.observe.packed import Packed
from hpof_jax.picture_fit import load_statistics
from hpof_jax.refine import refine
from hpof_jax.report import measure

FRAMES, SIZE, FOCAL, RATE = 25, (480, 640), 600.0, 30.0
BOX = np.array([320.0, 240.0, 330.0])
ARM = SMPL_JOINTS.index("left_shoulder")


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def true(body):
    """A body that stands still. Its landmarks are where the detector sees those of such a body, on average."""
    pose, transl = np.zeros((24, 3), np.float32), np.array([0, 0.2, 4.0], np.float32)
    pose[0, 0] = np.pi
    motion = _motion(body, np.tile(pose, (FRAMES, 1, 1)), transl)
    towards_camera = (1, -1, -1)
    points = measure.landmarks(motion, body) + load_statistics().offsets * towards_camera
    pixels = points[..., :2] / points[..., 2:] * FOCAL + (SIZE[1] / 2, SIZE[0] / 2)
    return dataclasses.replace(motion, keypoints_2d=np.dstack([pixels, np.ones((FRAMES, 33))]))


@pytest.fixture(scope="module")
def wrong(body, true):
    """The same with an arm that is 17 degrees too low."""
    pose = true.pose.copy()
    pose[:, ARM, 2] -= 0.3
    return dataclasses.replace(
        _motion(body, pose, true.trans[0]), keypoints_2d=true.keypoints_2d, box=true.box
    )


def _motion(body, pose, transl):
    _, joints = jax.jit(forward)(body, np.zeros(10, np.float32), pose[0, 0], pose[0, 1:], transl)
    return Motion(
        poses=pose.reshape(FRAMES, 72),
        betas=np.zeros(10),
        trans=np.tile(transl, (FRAMES, 1)),
        mocap_framerate=RATE,
        gender="neutral",
        joints=np.tile(joints, (FRAMES, 1, 1)),
        keypoints_2d=np.zeros((FRAMES, 33, 3)),
        cam=np.ones((FRAMES, 3)),
        box=np.tile(BOX, (FRAMES, 1)),
        frame_index=np.arange(FRAMES),
        confidence=np.ones(FRAMES),
        image_size=SIZE,
        focal_length=FOCAL,
        body=body.name,
    )


@pytest.fixture(scope="module")
def seen(body, true):
    """What is observed of the true body, with optical flow of a still picture."""
    vertices = true.vertices(body, slice(0, 1))[0]
    pixels = zbuffer.project(vertices, FOCAL, SIZE)
    square = (pixels - (BOX[:2] - BOX[2] / 2)) * (128 / BOX[2])
    faces = np.asarray(body.faces)
    mask = zbuffer.rasterize(square, vertices[:, 2], faces, (128, 128)).mask
    return Observations(
        landmarks_2d=true.keypoints_2d,
        landmarks_3d=np.zeros((FRAMES, 33, 3), np.float32),
        seen=np.ones(FRAMES, bool),
        image_size=np.array(SIZE, np.float32),
        focal_length=np.float32(FOCAL),
        fps=np.float32(RATE),
        masks=np.tile(np.uint8(255 * mask), (FRAMES, 1, 1)),
        mask_to_frame=np.tile(square_to_frame(BOX), (FRAMES, 1, 1)),
        flow=np.zeros((FRAMES - 1, 2, 64, 64, 2), np.float16),
        flow_valid=np.ones((FRAMES - 1, 2, 64, 64), bool),
        flow_box=np.tile(np.float32(BOX), (FRAMES, 1)),
    )


def errors(motion, true):
    """Mean distance of the joints about the pelvis, metres, (T,)."""
    apart = (one.joints - one.joints[:, :1] for one in (motion, true))
    return np.linalg.norm(np.subtract(*apart), axis=-1).mean(-1)


def test_a_fit_takes_error_away_and_gives_the_same_again(body, true, wrong, seen):
    fitted = refine(wrong, seen, body, mode="fast", progress=False)
    assert errors(fitted, true).max() < 0.7 * errors(wrong, true).min()
    names = ("masks", "flow", "flow_valid")
    packed = dataclasses.replace(seen, **{name: Packed.of(getattr(seen, name)) for name in names})
    again = refine(wrong, packed, body, mode="fast", progress=False)
    np.testing.assert_array_equal(again.poses, fitted.poses)
    _, joints = jax.jit(forward)(
        body, fitted.betas, fitted.global_orient[3], fitted.body_pose[3], fitted.trans[3]
    )
    np.testing.assert_allclose(fitted.joints[3], joints, atol=1e-4)


def test_a_body_that_fits_hardly_moves(body, true, seen):
    fitted = refine(true, seen, body, mode="fast", progress=False)
    assert errors(fitted, true).max() < 0.005
    assert np.abs(fitted.trans - true.trans).max() < 0.02, "half a percent of the distance"


def test_masks_that_flicker_do_not_shake_the_depth(body, true, seen):
    """Every third frame, a knot's, the mask grows or shrinks by 2 percent."""
    to_frame = seen.mask_to_frame.copy()
    for number, row in enumerate(range(0, FRAMES, 3)):
        to_frame[row] = square_to_frame(BOX * [1, 1, 1 + 0.02 * (-1) ** number])
    fitted = refine(
        true, dataclasses.replace(seen, mask_to_frame=to_frame), body, mode="fast", progress=False
    )
    assert np.abs(np.diff(fitted.trans[:, 2])).max() < 0.004


def test_unseen_frames_keep_their_values(body, true, wrong, seen):
    there = np.ones(FRAMES, bool)
    there[9:14] = False
    fitted = refine(wrong, dataclasses.replace(seen, seen=there), body, mode="fast", progress=False)
    np.testing.assert_array_equal(fitted.poses[~there], wrong.poses[~there])
    assert errors(fitted, true)[0] < 0.8 * errors(wrong, true)[0]
    steps = np.linalg.norm(np.diff(fitted.joints, axis=0), axis=-1).max(-1)
    assert steps.max() < 0.08, "the correction fades into the gap"


def test_windows_give_what_one_window_gives(body, wrong, seen, monkeypatch):
    whole = refine(wrong, seen, body, mode="fast", progress=False)
    monkeypatch.setattr(refine_module, "SPACING", 2 / RATE)
    monkeypatch.setattr(refine_module, "KNOTS", 8)
    parts = refine(wrong, seen, body, mode="fast", progress=False)
    np.testing.assert_allclose(parts.joints, whole.joints, atol=0.03)
    assert np.abs(np.diff(parts.joints, axis=0)).max() < 0.01, "no jump between windows"


def test_masks_of_other_people_say_nothing(body, true, wrong, seen):
    """Somebody who hides the whole person leaves no evidence, and somebody beside the arm changes nothing."""
    options = dict(mode="fast", progress=False)

    def refined(*rows, square=BOX):
        hidden = np.zeros((FRAMES, 128, 128), np.uint8)
        hidden[slice(*rows)] = 255
        places = np.tile(square_to_frame(np.array(square)), (FRAMES, 1, 1))
        return refine(
            wrong,
            seen,
            body,
            others=[dataclasses.replace(seen, masks=hidden, mask_to_frame=places)],
            **options,
        )

    np.testing.assert_array_equal(refined(0, FRAMES).poses, wrong.poses)
    aside = refined(0, FRAMES, square=(100.0, 240.0, 40.0))
    np.testing.assert_array_equal(aside.poses, refine(wrong, seen, body, **options).poses)
    assert 0 < errors(aside, wrong).min()
    with pytest.raises(UserError, match="The fit needs masks"):
        refine(
            wrong, seen, body, others=[dataclasses.replace(seen, masks=None, mask_to_frame=None)], **options
        )


def test_everybody_is_fitted_without_the_masks_of_the_others(monkeypatch):
    asked = []
    monkeypatch.setattr(
        refine_module, "refine", lambda motion, own, body, **options: asked.append((motion, own, options))
    )
    people = ["a", "b", "c"]
    refine_module.refine_all([1, 2, 3], people, mode="fast")
    assert asked[1] == (2, "b", dict(others=["a", "c"], mode="fast"))


@pytest.mark.slow
def test_the_full_fit_uses_the_flow(body, true, wrong, seen):
    fitted = refine(wrong, seen, body, mode="full", progress=False)
    assert errors(fitted, true).max() < 0.6 * errors(wrong, true).min()


@pytest.mark.parametrize(
    ("change", "mode", "sentence"),
    [
        ({}, "best", "There is no fit 'best': choose one of auto, off, fast, full"),
        (
            dict(masks=None, mask_to_frame=None),
            "fast",
            "The fit needs masks: observe the video with keep_masks",
        ),
        (dict(flow=None, flow_valid=None, flow_box=None), "full", "The fit needs flow: .* keep_flow"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(wrong, seen, change, mode, sentence):
    with pytest.raises(UserError, match=sentence):
        refine(wrong, dataclasses.replace(seen, **change), mode=mode)


def test_a_motion_of_other_frames_is_refused(wrong, seen):
    fewer = dataclasses.replace(
        seen, **{k: getattr(seen, k)[:9] for k in ("landmarks_2d", "landmarks_3d", "seen")}, times=None
    )
    with pytest.raises(UserError, match="has 25 frames and the observations have 9"):
        refine(wrong, fewer, mode="fast")


def test_off_is_off(wrong, seen):
    assert refine(wrong, seen, mode="off") is wrong
