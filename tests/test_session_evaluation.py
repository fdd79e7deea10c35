"""The program on miniature sessions, with results and with videos."""

import json
import sys

import numpy as np
import pytest

from hpof_jax import evaluate, session_evaluation
from hpof_jax.body import load_body
from hpof_jax.body.anatomical import ANATOMICAL_CENTRES
from hpof_jax.errors import UserError
from hpof_jax.export.trc import write_markers
from hpof_jax.session_scoring import perform
from tests.sessions.conftest import TOML

FRAMES = 60


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session of Pose2Sim without videos, and `motion.npz`, which is exactly what its markers show."""
    folder = tmp_path_factory.mktemp("session")
    times = np.arange(FRAMES) / 30
    pose = 0.3 * np.sin(times[:, None, None] * np.linspace(1, 5, 24)[:, None] + np.arange(3))
    trans = np.tile([0.0, 0.0, 4.0], (FRAMES, 1))
    np.savez(
        folder / "motion.npz",
        poses=pose.reshape(FRAMES, 72),
        trans=trans,
        betas=np.zeros(10),
        mocap_framerate=30.0,
        frame_index=np.arange(FRAMES),
        body="free_body",
    )
    motion = perform(load_body(), pose, np.zeros(10), trans, times)
    names = [f"{name[0].upper()}{name.split('_')[1].capitalize()}" for name in ANATOMICAL_CENTRES]
    (folder / "pose-3d").mkdir()
    points = dict(zip(names, motion.centres.swapaxes(0, 1), strict=True))
    write_markers(folder / "pose-3d" / "trial.trc", times, points, 30.0)
    (folder / "Config.toml").write_text("[project]\n")
    return folder


def test_the_program_scores_a_result(session, tmp_path, capsys, monkeypatch):
    options = ["--session", str(session), "--predictions", str(session / "motion.npz")]
    options += ["--json", str(tmp_path / "a.json"), "--latex", str(tmp_path / "a.tex")]
    monkeypatch.setattr(sys, "argv", ["evaluate", *options])
    evaluate.main()
    printed = capsys.readouterr().out
    assert "PA-MPJPE" in printed and "knee_r (points)" in printed and "trial.trc" in printed
    result = json.loads((tmp_path / "a.json").read_text())
    (sequence,) = result["sequences"].values()
    assert sequence["centres"]["pa_mpjpe"] < 0.5 and sequence["centres"]["world"] < 0.5
    assert result["overall"]["centres"] == sequence["centres"]
    assert r"\toprule" in (tmp_path / "a.tex").read_text()


def test_a_result_and_files_without_a_folder(session, capsys, monkeypatch):
    files = [str(session / "motion.npz"), str(session / "pose-3d" / "trial.trc")]
    monkeypatch.setattr(sys, "argv", ["evaluate", "--predictions", files[0], "--reference", files[1]])
    evaluate.main()
    assert "trial.trc" in capsys.readouterr().out
    with pytest.raises(UserError, match="has no video: give the motion with --predictions"):
        session_evaluation.evaluate_session(reference=files[1:])


def test_videos_are_reconstructed_with_the_calibrated_focal_length(session, monkeypatch, small_motion):
    """Every camera alone; the means are over cameras."""
    (session / "videos").mkdir()
    for name in ("cam1", "cam2"):
        (session / "videos" / f"{name}.mp4").write_bytes(b"")
    motion = dict(np.load(session / "motion.npz"))
    seen, kept, fits = [], [], []

    def observed(video, landmark_model, **keep):
        kept.append(keep)
        return small_observations()

    def lifted(observations, weights, body):
        seen.append((float(observations.focal_length), observations.focal_length_source))
        return Lifted(motion)

    monkeypatch.setattr(session_evaluation, "observe_cached", observed)
    monkeypatch.setattr(session_evaluation, "lift", lifted)

    def fitted(motion, observations, body, *, mode):
        fits.append(mode)
        return motion

    monkeypatch.setattr(session_evaluation, "load_weights", lambda path: None)
    monkeypatch.setattr(session_evaluation.fit, "refine", fitted)
    result = session_evaluation.evaluate_session(session)
    assert [*result["sequences"]] == ["cam1", "cam2"] and seen == [(500.0, "assumed")] * 2
    assert result["overall"]["centres"]["frames"] == FRAMES
    only = session_evaluation.evaluate_session(session, camera="cam2")
    assert [*only["sequences"]] == ["cam2"]
    assert {*fits} == {"off"} and kept[0] == {"keep_masks": False, "keep_flow": False}
    full = session_evaluation.evaluate_session(session, camera="cam2", refine="full")
    assert (
        full["protocol"]["name"] == "hpof_jax, full fit" and fits[-1] == full["protocol"]["refine"] == "full"
    )
    assert kept[-1] == {"keep_masks": True, "keep_flow": True}
    with pytest.raises(UserError, match="no camera cam3"):
        session_evaluation.evaluate_session(session, camera="cam3")
    (session / "calibration").mkdir()
    text = TOML.replace("cam_01", "cam1").replace("1088.0, 1920.0", "640.0, 480.0")
    (session / "calibration" / "a.toml").write_text(text)
    seen.clear()
    session_evaluation.evaluate_session(session)
    assert seen[0][1] == "given" and seen[0][0] == pytest.approx(1681.15, abs=0.1)
    assert seen[1][1] == "assumed"


def test_a_session_of_trials_without_a_reference(tmp_path):
    for name in ("Trial_1", "Trial_2"):
        (tmp_path / name / "videos").mkdir(parents=True)
    (tmp_path / "Config.toml").write_text("")
    with pytest.raises(UserError, match="No trial in .* has videos and a reference"):
        session_evaluation.evaluate_session(tmp_path)


def test_what_is_missing_is_said(session, tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        session_evaluation.evaluate_session(tmp_path / "none")
    with pytest.raises(UserError, match="no trial b"):
        session_evaluation.evaluate_session(session, trial="b")
    with pytest.raises(UserError, match="a.c3d is no reference"):
        session_evaluation.evaluate_session(session, reference=["a.c3d"])


class Lifted:
    def __init__(self, motion):
        self.pose, self.betas, self.trans = (
            motion["poses"].reshape(-1, 24, 3),
            motion["betas"],
            motion["trans"],
        )
        self.times = motion["frame_index"] / 30


def small_observations():
    from hpof_jax.observe.clip import Observations

    return Observations(
        landmarks_2d=np.zeros((FRAMES, 33, 3)),
        landmarks_3d=np.zeros((FRAMES, 33, 3)),
        seen=np.ones(FRAMES, bool),
        image_size=np.array([480, 640]),
        focal_length=np.float32(500.0),
        fps=np.float32(30.0),
    )
