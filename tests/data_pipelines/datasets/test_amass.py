import numpy as np

from data_pipelines.datasets import amass, prepare
from data_pipelines.motion.load import load_source


def write(path, fps=120.0, frames=61, damage=()):
    rng = np.random.default_rng(frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "poses": 0.02 * rng.normal(size=(frames, 156)).cumsum(axis=0),  # SMPL+H
        "trans": rng.normal(size=(frames, 3)),
        "betas": rng.normal(size=16),
        "dmpls": np.zeros((frames, 8)),
        "mocap_framerate": np.array(fps),
        "gender": np.array("female"),
    }
    np.savez(path, **{name: value for name, value in arrays.items() if name not in damage})


def test_prepared_files_hold_the_motion_of_the_original_ones(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write(raw / "CMU" / "01" / "01_01_poses.npz")
    write(raw / "KIT" / "3" / "walk_poses.npz", fps=100.0)
    write(raw / "KIT" / "3" / "walk_neutral_stagei.npz")
    np.savez(raw / "KIT" / "3" / "shape.npz", betas=np.zeros(16))
    outcomes = prepare.prepare("amass", raw, out, partial=True)
    assert [outcome.unit for outcome in outcomes] == ["CMU/01/01_01_poses", "KIT/3/walk_poses"]
    originals = {clip.name: clip for clip in load_source(f"amass:{raw}", cache=False)}
    for clip in load_source(f"amass:{out}", cache=False):
        np.testing.assert_allclose(clip.pose, originals[clip.name].pose, atol=1e-5)
        np.testing.assert_allclose(clip.transl, originals[clip.name].transl, atol=1e-5)
        np.testing.assert_allclose(clip.betas, originals[clip.name].betas, atol=1e-6)
        assert clip.motion_class == originals[clip.name].motion_class
    assert prepare.prepare("amass", raw, out, partial=True) == []


def test_missing_parts_are_named_under_either_of_their_names(tmp_path):
    write(tmp_path / "BioMotionLab_NTroje" / "a_poses.npz")
    missing = amass.find(tmp_path).missing
    assert "CMU/" in missing and "BMLrub/" not in missing and len(missing) == len(amass.PARTS) - 1


def test_damaged_files_are_left_out(tmp_path, caplog):
    raw = tmp_path / "raw"
    write(raw / "CMU" / "good_poses.npz")
    write(raw / "CMU" / "bad_poses.npz", damage=("trans",))
    (raw / "CMU" / "cut_poses.npz").write_bytes((raw / "CMU" / "good_poses.npz").read_bytes()[:900])
    prepare.prepare("amass", raw, tmp_path / "out", partial=True)
    assert (
        "bad_poses.npz has no trans" in caplog.text and "cut_poses.npz is not a readable AMASS" in caplog.text
    )
    assert len(list((tmp_path / "out").rglob("*_poses.npz"))) == 1
