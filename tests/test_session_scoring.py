"""Motions scored against markers and joint angles that were made from them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hpof_jax.body import load_body
from hpof_jax.body.anatomical import ANATOMICAL_CENTRES
from hpof_jax.errors import UserError
from hpof_jax.export.opensim import Coordinates, Markers
from hpof_jax.session_scoring import Reference, compare, perform, read_reference
from hpof_jax.sessions.synchrony import resample

FPS, FRAMES, LATER = 30.0, 90, 0.21
TURN = Rotation.from_rotvec([0.0, 1.1, 0.0]).as_matrix()


@pytest.fixture(scope="module")
def motion():
    """A smooth random motion of three seconds."""
    times, rng = np.arange(FRAMES) / FPS, np.random.default_rng(0)
    phase, speed = rng.uniform(0, 6, (2, 24, 3))
    pose = 0.25 * np.sin(times[:, None, None] * (1 + speed) + phase)
    transl = np.stack([0.5 * times, 0 * times, 4 + 0 * times], axis=1)
    return perform(load_body(), pose, np.zeros(10), transl, times)


@pytest.fixture(scope="module")
def reference(motion):
    """In another world, at 100 frames/s, later by `LATER`."""
    times = 0.05 + np.arange(280) / 100
    points = resample(motion.centres, motion.times, times) @ TURN.T + [3, 0, 1]
    names = [f"{name[0].upper()}{name.split('_')[1].capitalize()}" for name in ANATOMICAL_CENTRES]
    angles = {
        name: resample(angle, motion.times, times)
        for name, angle in motion.angles.items()
        if "knee_angle" in name
    }
    return Reference(
        Markers(times + LATER, dict(zip(names, points.swapaxes(0, 1)))),
        Coordinates(times + LATER, angles),
        ("a.trc",),
    )


def test_a_perfect_motion_in_another_world_at_another_time(motion, reference):
    result = compare(motion, reference)
    assert result["offset"] == pytest.approx(LATER, abs=0.005) and result["correlation"] > 0.99
    centres = result["centres"]
    for key in ("pa_mpjpe", "varying", "world", "world_scaled", "mid_hip"):
        assert centres[key] < 3, key
    assert centres["scale"] == pytest.approx(1, abs=1e-3) and centres["frames"] > 80
    assert {*result["joints"]} == {*ANATOMICAL_CENTRES}
    assert {*result["angles"]} == {"knee_angle_r", "knee_angle_l"}
    assert all(row["rmse"] < 1.0 for row in [*result["angles"].values(), *result["bends"].values()])
    assert "keypoints of a detector" in result["notes"][0]


def test_scale_offsets_and_given_time(motion, reference):
    larger = {name: 1.1 * place for name, place in reference.markers.points.items()}
    larger["RKnee"] = larger["RKnee"] * np.nan
    angles = {name: angle - 5 for name, angle in reference.coordinates.values.items()}
    changed = Reference(
        Markers(reference.markers.times, larger), Coordinates(reference.coordinates.times, angles), ("a.trc",)
    )
    result = compare(motion, changed, offset=LATER)
    assert result["correlation"] is None and "right_knee" not in result["joints"]
    centres = result["centres"]
    assert centres["scale"] == pytest.approx(1.1, abs=2e-3)
    assert centres["world_scaled"] < 3 < 20 < centres["world"]
    errors = result["angles"]["knee_angle_r"]
    assert errors["offset"] == pytest.approx(5, abs=0.3) and errors["rmse_without_offset"] < 1.0


def test_angles_alone(motion, reference):
    result = compare(motion, Reference(None, reference.coordinates, ("a.mot",)))
    assert result["offset"] == pytest.approx(LATER, abs=0.01) and "centres" not in result
    nothing = Reference(None, Coordinates(reference.coordinates.times, {"pelvis_tx": np.zeros(280)}), ())
    with pytest.raises(UserError, match="none of the coordinates"):
        compare(motion, nothing)


def test_another_motion_is_noticed(motion, reference):
    rng = np.random.default_rng(3)
    noise = {
        name: place + rng.normal(scale=3.0, size=place.shape)
        for name, place in reference.markers.points.items()
    }
    result = compare(motion, Reference(Markers(reference.markers.times, noise), None, ()))
    assert result["offset"] == 0 and any("No time offset fits" in note for note in result["notes"])
    with pytest.raises(UserError, match="share 0 frames"):
        compare(motion, reference, offset=60.0)


def test_references_that_do_not_belong_together(tmp_path):
    with pytest.raises(UserError, match="There is no reference"):
        read_reference([])
    with pytest.raises(UserError, match=r"a\.c3d is no reference"):
        read_reference(["a.c3d"])
    with pytest.raises(UserError, match="There is no file"):
        read_reference([tmp_path / "a.trc"])
