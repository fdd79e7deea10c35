"""A model on a prepared data set, with a made-up model that is right."""

import json
import shutil
import sys
import types

import numpy as np
import pytest

from data_pipelines.datasets import base
from hpof_jax import Motion, evaluate, prepared
from hpof_jax.body import keypoint_basis, keypoints, load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry.rotations import axis_angle_to_matrix
from hpof_jax.observe.background import Background
from hpof_jax.predictions.formats import FREE_BODY
from tests.data_pipelines.datasets.conftest import a_camera, a_person, posed
from tests.data_pipelines.observed.test_prepared import T, write

SET = "mpi_inf_3dhp17"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two test clips of points, one of another protocol, and one that shows nobody."""
    rng = np.random.default_rng(0)
    pose, betas = rng.normal(0, 0.2, (T, 24, 3)).astype(np.float32), rng.normal(size=10).astype(np.float32)
    body = load_body()
    rotations = axis_angle_to_matrix(pose)
    points, _ = keypoints(body, keypoint_basis(body, SET), betas[None], rotations)
    valid = np.arange(T) >= 3
    points = np.where(valid[:, None, None], np.asarray(points) + [0.1, 0.2, 3], 9)
    common = dict(
        valid=valid,
        frame_index=2 * np.arange(T) + 1,
        gender=np.array("neutral"),
        body=np.array("smpl"),
        split="test",
    )
    reference = dict(reference=np.float32(points), reference_set=np.array(SET))
    write(tmp_path, "a", smpl=False, **common, **reference)
    write(tmp_path, "b", smpl=False, **common, **reference)
    write(tmp_path, "c", smpl=False, **common, **reference, subsets=np.array("emdb1,h36m_p2"))
    write(tmp_path, "nobody", smpl=False, seen=False, **common, **reference)

    def lift(observations, weights, **options):
        assert options == {"flip": True, "smooth": True} and len(observations) == T
        return types.SimpleNamespace(poses=pose.reshape(T, 72), betas=betas, trans=np.zeros((T, 3)))

    monkeypatch.setattr(prepared.lifting, "lift", lift)
    return tmp_path


@pytest.mark.slow  # poses bodies
def test_a_model_is_scored_in_the_valid_frames_of_the_protocols_clips(folder, tmp_path, monkeypatch, capsys):
    command = [
        "evaluate",
        "--data",
        f"prepared:{folder}",
        "--protocol",
        "mpi_inf_3dhp",
        "--json",
        str(tmp_path / "x"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    evaluate.main()
    result = json.loads((tmp_path / "x").read_text())
    overall = result["programs"]["hpof_jax"]["overall"]
    assert overall["frames"] == 2 * (T - 3) and overall["coverage"] == 100
    assert overall["mpjpe"] < 0.1 and overall["pa_mpjpe"] < 0.1 and overall["pck_150"] == 100
    assert list(result["programs"]["hpof_jax"]["sequences"]) == ["a", "b"]
    assert result["notes"] == ["1 clips that show nobody are left out."]
    assert "MPI-INF-3DHP, 17 joints" in capsys.readouterr().out


def test_the_test_time_fit_is_a_row_of_its_own(folder, monkeypatch):
    fits = []

    def refine(motion, observations, *, mode, progress):
        fits.append((mode, observations.masks.shape[0]))
        return motion

    monkeypatch.setattr(prepared.fit, "refine", refine)
    monkeypatch.setattr(prepared.scoring, "compare", lambda *args: {})
    monkeypatch.setattr(prepared.scoring, "table", lambda totals: [*totals])
    monkeypatch.setattr(prepared.scoring, "report", lambda protocol, tables, *rest: tables)
    assert prepared.score_prepared(folder, "mpi_inf_3dhp") == {"hpof_jax": ["a", "b"]} and not fits
    found = prepared.score_prepared(folder, "mpi_inf_3dhp", refine="auto")
    assert found == {"hpof_jax, fast fit": ["a", "b"]} and fits == [("fast", T)] * 2
    assert [*prepared.score_prepared(folder, "mpi_inf_3dhp", refine="full")] == ["hpof_jax, full fit"]
    for name in ("flow", "masks"):
        path = folder / "test" / "clip_a.npz"
        clip = {key: value for key, value in np.load(path).items() if not key.startswith(name.rstrip("s"))}
        np.savez(path, **clip)
        with pytest.raises(UserError, match=f"clip_a.npz has no {name}, .* without --no-{name}"):
            prepared.score_prepared(folder, "mpi_inf_3dhp", refine="full")


@pytest.fixture
def in_world(tmp_path, monkeypatch):
    """A test clip by a camera that turns and walks; the model is right in the camera's frame."""
    poses, trans, betas, _ = a_person(frames=T)
    cameras = a_camera(T)[:, :3]
    cameras[:, 0, 3] += 0.1 * np.arange(T)
    free = load_body()
    rest = np.asarray(free.J_template[0]) + betas @ np.asarray(free.J_shapedirs)[:, 0]
    # The reference's translation is SMPL's, the prediction's that of the free body: both in the camera's frame.
    pose, theirs = base.into_camera(poses, trans, base.SMPL_PELVIS, cameras)
    _, ours = base.into_camera(poses, trans, rest, cameras)
    nothing = Background(
        np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros(T + 1, int), np.zeros(1, int)
    )
    write(
        tmp_path, "a", split="test", frame_index=np.arange(T), gender=np.array("neutral"), body=np.array(FREE_BODY),
        smpl_pose=pose, smpl_transl=theirs, smpl_betas=betas, world_to_camera=cameras,
        **{f"background_{name}": array for name, array in vars(nothing).items()},
    )  # fmt: skip
    lenses = []

    def lift(observations, weights, **options):
        lenses.append(float(observations.focal_length))
        return Motion(
            poses=pose.reshape(T, 72), betas=betas, trans=ours, mocap_framerate=30.0, gender="neutral",
            joints=posed(pose, ours, betas), keypoints_2d=observations.landmarks_2d, cam=np.ones((T, 3)),
            box=np.ones((T, 3)), frame_index=np.arange(T), confidence=np.ones(T), image_size=[100, 200],
            focal_length=150.0, body=FREE_BODY,
        )  # fmt: skip

    monkeypatch.setattr(prepared.lifting, "lift", lift)
    return tmp_path, lenses


@pytest.mark.slow  # poses bodies
def test_in_the_world_the_data_sets_camera_is_a_row_of_its_own(in_world):
    folder, lenses = in_world
    result = prepared.score_prepared(folder, "emdb2")
    true, found = (result["programs"][name]["overall"] for name in (prepared.TRUE_CAMERA, "hpof_jax"))
    assert true["wa_mpjpe"] < 1 and true["w_mpjpe"] < 1 and true["rte"] < 0.5
    # The background has no point, so the camera is taken as static, and the person seems to walk with it.
    assert found["rte"] > 20 and found["wa_mpjpe"] > 50
    assert lenses == [150, 170]  # the assumed focal length, and the data set's
    assert "motion and focal length are the data set's own" in result["notes"][-1]


def test_what_cannot_be_scored_in_the_world(in_world, tmp_path):
    folder = tmp_path / "other"
    for name, missing in (
        ("background", "has no points of the background"),
        ("camera", "no motion of the camera"),
    ):
        shutil.copytree(in_world[0] / "test", folder / name / "test")
        path = folder / name / "test/clip_a.npz"
        clip = dict(np.load(path))
        np.savez(path, **{key: value for key, value in clip.items() if name not in key.replace("true_", "")})
        with pytest.raises(UserError, match=missing):
            prepared.score_prepared(folder / name, "emdb2")


def test_what_cannot_be_scored_is_said_in_one_sentence(folder, monkeypatch, capsys):
    with pytest.raises(UserError, match="has no test clip that 3dpw counts"):
        prepared.score_prepared(folder / "train", "3dpw")
    monkeypatch.setattr(sys, "argv", ["evaluate", "--data", "synthetic", "--protocol", "3dpw"])
    with pytest.raises(SystemExit):
        evaluate.main()
    assert "--protocol needs --predictions, or one prepared data set" in capsys.readouterr().err
