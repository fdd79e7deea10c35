"""A model on a prepared data set, with a made-up model that is right."""

import json
import sys
import types

import numpy as np
import pytest

from hpof_jax import evaluate, prepared
from hpof_jax.body import keypoint_basis, keypoints, load_body
from hpof_jax.errors import UserError
from hpof_jax.geometry.rotations import axis_angle_to_matrix
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


def test_what_cannot_be_scored_is_said_in_one_sentence(folder, monkeypatch, capsys):
    with pytest.raises(UserError, match="emdb2 needs motions in the world"):
        prepared.score_prepared(folder, "emdb2")
    with pytest.raises(UserError, match="has no test clip that 3dpw counts"):
        prepared.score_prepared(folder / "train", "3dpw")
    monkeypatch.setattr(sys, "argv", ["evaluate", "--data", "synthetic", "--protocol", "3dpw"])
    with pytest.raises(SystemExit):
        evaluate.main()
    assert "--protocol needs --predictions, or one prepared data set" in capsys.readouterr().err
