import dataclasses

import numpy as np
import pytest

from hpof_jax.observe.appearance import bone_lengths, clothes, clothes_distance
from hpof_jax.observe.blazepose import Pose, Region

REGION = Region(100.0, 100.0, 200.0, 0.3)
POINTS = np.full((33, 2), 0.5)
POINTS[[11, 12, 23, 24]] = (0.6, 0.3), (0.4, 0.3), (0.57, 0.5), (0.43, 0.5)
POINTS[[25, 26, 27, 28]] = (0.57, 0.7), (0.43, 0.7), (0.57, 0.9), (0.43, 0.9)


def pose(torso, legs, masked=True):
    """Somebody with a torso and legs of these colours."""
    image = np.full((256, 256, 3), 90, np.uint8)
    image[70:128, 90:166] = torso
    image[128:, 90:166] = legs
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    to_frame = REGION.to_frame()
    points = POINTS @ to_frame[:, :2].T + to_frame[:, 2]
    return Pose(
        landmarks_2d=np.column_stack([points, np.ones(33)]).astype(np.float32),
        landmarks_3d=np.zeros((33, 3), np.float32),
        score=1.0,
        region=REGION,
        crop=image,
        to_frame=to_frame,
        mask_logits=np.full((256, 256), 1.0 if masked else -1.0, np.float32),
    )


def test_clothes_tell_people_apart_and_stay_alike_in_other_light():
    one = clothes(pose((200, 40, 40), (30, 30, 90)))
    darker = clothes(pose((190, 45, 42), (35, 33, 88)))
    other = clothes(pose((40, 160, 40), (200, 200, 200)))
    np.testing.assert_allclose((one**2).sum(axis=1), 2, atol=1e-4)
    assert clothes_distance(one, one) < 1e-3
    assert clothes_distance(one, darker) < 0.4 < 0.7 < clothes_distance(one, other)


@pytest.mark.parametrize("colour", [(0, 255, 0), (255, 0, 255), (0, 0, 255)])
def test_the_most_colourful_clothes_count_too(colour):
    assert (clothes(pose(colour, colour)) ** 2).sum(axis=1) == pytest.approx([2, 2], abs=1e-4)


def test_black_and_white_differ():
    assert clothes_distance(clothes(pose(20, 20)), clothes(pose(235, 235))) > 0.4


def test_a_part_that_cannot_be_seen_does_not_count():
    hidden = clothes(pose((200, 40, 40), (30, 30, 90), masked=False))
    assert not hidden.any()
    seen = clothes(pose((200, 40, 40), (30, 30, 90)))
    assert np.isnan(clothes_distance(hidden, seen))
    torso = seen.copy()
    torso[1] = 0
    assert clothes_distance(torso, seen) < 1e-3


def test_a_body_outside_the_picture_has_no_clothes():
    away = pose(200, 200)
    away = dataclasses.replace(away, landmarks_2d=away.landmarks_2d + np.float32(1e6))
    assert not clothes(away).any()


def test_bone_lengths_do_not_depend_on_place_and_turn():
    points = np.random.default_rng(0).normal(size=(4, 33, 3))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(bone_lengths(points), bone_lengths(points @ turn + 5))
    np.testing.assert_allclose(bone_lengths(2 * points) - bone_lengths(points), np.log(2))
    assert np.isfinite(bone_lengths(np.zeros((33, 3)))).all()
