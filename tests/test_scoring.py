"""Results scored against references: by hand-worked motions, and by NumPy."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from hpof_jax import evaluate, scoring
from hpof_jax.body import forward, load_body, save_body
from hpof_jax.errors import UserError

FRAMES = 70  # more than a chunk


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two references `true_1.npz` and `true_2.npz`, two predictions of each, and a body file for them."""
    path, rng = tmp_path_factory.mktemp("scores"), np.random.default_rng(0)
    save_body(dataclasses.replace(load_body(), name="free_body"), path / "body.npz")
    for number in (1, 2):
        pose = np.cumsum(rng.normal(scale=0.02, size=(FRAMES, 72)), axis=0)
        trans = np.cumsum(rng.normal([0.02, 0, 0], 0.005, (FRAMES, 3)), axis=0)
        motion = dict(poses=pose, trans=trans, betas=rng.normal(size=10), mocap_framerate=30.0)
        np.savez(path / f"true_{number}.npz", **motion)
        np.savez(path / f"same_{number}.npz", **motion | {"trans": trans + [1, 2, 3]})
        noisy = pose + rng.normal(scale=0.1, size=pose.shape)
        np.savez(path / f"noisy_{number}.npz", **motion | {"poses": noisy})
        rows = np.delete(np.arange(FRAMES), [10, 11])
        fewer = motion | {"poses": noisy[rows], "trans": trans[rows], "frame_index": rows}
        np.savez(path / f"fewer_{number}.npz", **fewer)
    return path


def score(folder, names, protocol="smpl24", references=("true_1", "true_2"), **options):
    files = [[folder / f"{name}.npz" for name in group] for group in (names, references)]
    return scoring.score(*files, protocol, body=folder / "body.npz", **options)


def test_two_results_in_one_table(folder):
    result = score(folder, ["same_1", "same_2", "noisy_1", "noisy_2"])
    same, noisy = result["programs"]["AMASS"], result["programs"]["AMASS #2"]
    assert same["overall"]["frames"] == 2 * FRAMES and same["overall"]["coverage"] == 100
    for key in ("mpjpe", "pa_mpjpe", "pve", "acceleration_error"):
        assert same["overall"][key] == pytest.approx(0, abs=0.01)
        low, high = noisy["intervals"][key]
        assert 10 < low <= noisy["overall"][key] <= high
        each = [row[key] for row in noisy["sequences"].values()]
        assert noisy["overall"][key] == pytest.approx(np.mean(each), rel=0.02)
    assert list(noisy["sequences"]) == ["true_1", "true_2"]
    assert same["overall"]["pck_150"] == pytest.approx(100)


def test_metrics_are_those_of_numpy(folder):
    found = score(folder, ["noisy_1"], references=["true_1"])["programs"]["AMASS"]["overall"]
    body, points = load_body(), []
    for name in ("noisy_1", "true_1"):
        with np.load(folder / f"{name}.npz") as file:
            pose = file["poses"].reshape(-1, 24, 3).astype(np.float32)
            betas = np.tile(file["betas"].astype(np.float32), (FRAMES, 1))
        vertices, joints = jax.jit(forward)(body, betas, pose[:, 0], pose[:, 1:])
        points.append([np.asarray(x) - np.asarray(joints)[:, :1] for x in (joints, vertices)])
    (joints, vertices), (true_joints, true_vertices) = points
    assert found["mpjpe"] == pytest.approx(
        1000 * np.linalg.norm(joints - true_joints, axis=-1).mean(), rel=1e-3
    )
    assert found["pve"] == pytest.approx(
        1000 * np.linalg.norm(vertices - true_vertices, axis=-1).mean(), rel=1e-3
    )
    second = np.diff(joints - true_joints, n=2, axis=0)
    assert found["acceleration_error"] == pytest.approx(
        1000 * np.linalg.norm(second, axis=-1).mean(), rel=1e-3
    )


def test_frames_that_the_prediction_lacks(folder):
    whole, fewer = (
        score(folder, [name], references=["true_1"])["programs"] for name in ("noisy_1", "fewer_1")
    )
    assert list(fewer) == ["hpof_jax"] and not fewer["hpof_jax"]["intervals"]
    row = fewer["hpof_jax"]["overall"]
    assert row["frames"] == FRAMES - 2 and row["coverage"] == pytest.approx(100 * 68 / 70)
    # No acceleration is taken over the gap.
    assert row["acceleration_error"] == pytest.approx(
        whole["AMASS"]["overall"]["acceleration_error"], rel=0.1
    )


def test_the_worlds_protocol_ignores_the_choice_of_the_world(folder):
    same = score(folder, ["same_1", "same_2"], "emdb2")["programs"]["AMASS"]["overall"]
    assert same["wa_mpjpe"] == pytest.approx(0, abs=0.01) and same["rte"] == pytest.approx(0, abs=1e-6)
    noisy = score(folder, ["noisy_1", "noisy_2"], "emdb2")["programs"]["AMASS"]["overall"]
    assert noisy["w_mpjpe"] > noisy["wa_mpjpe"] > 10 and noisy["jitter"] > 2 * same["jitter"]


def test_a_folder_of_bodies_is_chosen_from_by_gender(folder, tmp_path):
    body = load_body()
    for name, height in (("SMPL_NEUTRAL", 1.0), ("basicmodel_m_lbs_10_207_0_v1.1.0", 1.1)):
        taller = {key: getattr(body, key) * height for key in ("basis", "J_template", "J_shapedirs")}
        save_body(dataclasses.replace(body, name="free_body", **taller), tmp_path / f"{name}.npz")
    with np.load(folder / "true_1.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "male.npz", **arrays, gender="male")
    np.savez(tmp_path / "female.npz", **arrays, gender="female")
    files = [folder / "true_1.npz"], [tmp_path / "male.npz"]
    row = scoring.score(*files, body=tmp_path)["programs"]["AMASS"]["overall"]
    assert row["pve"] > 20 and row["pa_mpjpe"] == pytest.approx(0, abs=0.01)
    one = scoring.score(*files, body=folder / "body.npz")
    assert one["programs"]["AMASS"]["overall"]["mpjpe"] == pytest.approx(0, abs=0.01)
    assert "all genders" in one["notes"][0]
    with pytest.raises(UserError, match="no SMPL_FEMALE.pkl in"):
        scoring.score([folder / "true_1.npz"], [tmp_path / "female.npz"], body=tmp_path)


def test_files_that_do_not_belong_together(folder, tmp_path):
    with pytest.raises(UserError, match="3 predictions do not match 2 references"):
        score(folder, ["same_1"] * 3)
    with pytest.raises(UserError, match="AMASS and hpof_jax: list the files"):
        score(folder, ["same_1", "fewer_2"])
    with pytest.raises(UserError, match="is SMPL: give its file"):
        scoring.score([folder / "same_1.npz"], [folder / "true_1.npz"])
    with np.load(folder / "same_1.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "fast.npz", **arrays | {"mocap_framerate": 60.0})
    np.savez(tmp_path / "late.npz", **arrays | {"frame_index": 68 + np.arange(FRAMES)})
    for name, words in (("fast", "60 frames/s"), ("late", "only 2 frames")):
        with pytest.raises(UserError, match=words):
            scoring.score([tmp_path / f"{name}.npz"], [folder / "true_1.npz"], body=folder / "body.npz")


def test_the_command_writes_a_table_json_and_latex(folder, tmp_path, monkeypatch, capsys):
    paths = [str(folder / f"{name}.npz") for name in ("noisy_1", "noisy_2", "true_1", "true_2")]
    arguments = ["--predictions", *paths[:2], "--reference", *paths[2:], "--body", str(folder / "body.npz")]
    written = ["--json", str(tmp_path / "r.json"), "--latex", str(tmp_path / "r.tex")]
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments, *written])
    evaluate.main()
    table = capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())
    mpjpe = f"{result['programs']['AMASS']['overall']['mpjpe']:.1f}"
    assert re.search(rf"^AMASS +{mpjpe} ", table, re.MULTILINE)
    assert "AMASS: true_1 " in table and "AMASS: true_2 " in table
    assert f"| AMASS | {mpjpe} |" in table
    assert rf"AMASS & {mpjpe} {{\scriptsize [" in (tmp_path / "r.tex").read_text()
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments[:3], *written])
    with pytest.raises(SystemExit) as end:
        evaluate.main()
    assert end.value.code == 2 and "belong together" in capsys.readouterr().err
