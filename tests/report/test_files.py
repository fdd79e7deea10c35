"""The report of a motion, as numbers and as files."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from hpof_jax import report
from hpof_jax.body import forward, load_body
from hpof_jax.errors import UserError
from hpof_jax.motion import Motion
from hpof_jax.report import measure

FRAMES, SIZE, FOCAL, RATE = 40, (480, 640), 600.0, 30.0


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def motion(body):
    """A body that stands still, and a detector that sees exactly its landmarks."""
    pose, transl = np.zeros((FRAMES, 24, 3), np.float32), np.array([0, 0.2, 4.0], np.float32)
    pose[:, 0, 0] = np.pi
    _, joints = jax.jit(forward)(body, np.zeros(10, np.float32), pose[0, 0], pose[0, 1:], transl)
    still = Motion(
        poses=pose.reshape(FRAMES, 72),
        betas=np.zeros(10),
        trans=np.tile(transl, (FRAMES, 1)),
        mocap_framerate=RATE,
        gender="neutral",
        joints=np.tile(joints, (FRAMES, 1, 1)),
        keypoints_2d=np.zeros((FRAMES, 33, 3)),
        cam=np.ones((FRAMES, 3)),
        box=np.tile([320, 240, 300], (FRAMES, 1)),
        frame_index=np.arange(FRAMES) + 10,
        confidence=np.ones(FRAMES),
        image_size=SIZE,
        focal_length=FOCAL,
        body=body.name,
    )
    points = measure.landmarks(still, body)
    pixels = points[..., :2] / points[..., 2:] * FOCAL + (SIZE[1] / 2, SIZE[0] / 2)
    return dataclasses.replace(still, keypoints_2d=np.dstack([pixels, np.ones((FRAMES, 33))]))


def test_a_motion_that_fits_has_no_warning_and_its_report_two_files(motion, body, tmp_path):
    made = report.make(motion, body, person="largest", made_with={"video": {"name": "Läufer <1>.mp4"}})
    assert made["warnings"] == [] and made["share_without_warning"] == 1.0
    assert made["coverage"] == {"seen_share": 1.0, "gaps": [], "cuts": []}
    for part in made["reprojection_percent_of_box"].values():
        assert part["mean"] == pytest.approx(0.0, abs=0.01) and part["visible_share"] == 1.0
    assert made["acceleration_m_s2"]["mean"] == 0.0
    assert made["foot_slide_m_s"]["left foot"] == {"mean": 0.0, "percentile_95": 0.0, "planted_share": 0.9}
    assert 1.5 < made["shape"]["stature_m"] < 1.9 and 0.35 < made["shape"]["lengths_m"]["thigh"] < 0.5
    assert made["camera"]["why"].startswith("assumed") and made["camera"]["motion"] == "it stands still"

    report.write(made, tmp_path / "report.html", "overlay.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == made


def test_a_wrong_limb_a_gap_a_swap_and_a_cut_are_told_by_frames(motion, body):
    landmarks = motion.keypoints_2d.copy()
    landmarks[5:15, 25:33:2, 0] += 30  # the left leg, 10 % of the box
    landmarks[30:33] = 0.0
    swapped = np.arange(FRAMES) == 20
    made = report.make(
        dataclasses.replace(motion, keypoints_2d=landmarks), body, swapped=swapped, shots=[0, 36]
    )
    fit, swap, gap, cut = made["warnings"]
    assert fit["text"].endswith("the left leg does not fit") and fit["kind"] == "fit"
    assert fit["frames"][0] == pytest.approx(15, abs=2) and fit["frames"][1] == pytest.approx(24, abs=2)
    assert fit["seconds"][0] == pytest.approx((fit["frames"][0] - 10) / RATE, abs=1e-3)
    assert swap["text"].startswith("frame 30: the detector took left for right")
    assert gap["text"].startswith("frames 40 to 42: the person is not seen")
    assert cut["text"].startswith("frame 46: the video cuts")
    assert made["coverage"] == {"seen_share": 0.925, "gaps": [[40, 42]], "cuts": [46]}
    assert made["over_time"]["reprojection_percent_of_box"]["left leg"][31] is None


def test_the_page_needs_no_network_and_escapes_names(motion, body, tmp_path):
    landmarks = motion.keypoints_2d.copy()
    landmarks[30:33] = 0.0
    gap = dataclasses.replace(motion, keypoints_2d=landmarks)
    made = report.make(gap, body, made_with={"video": {"name": "Läufer <1>.mp4"}})
    report.write(made, tmp_path / "bericht für Ä.html", "overlay ü.mp4")
    html = (tmp_path / "bericht für Ä.html").read_text(encoding="utf-8")
    assert "Läufer &lt;1&gt;.mp4" in html and "<1>" not in html
    assert '<a href="overlay%20%C3%BC.mp4#t=1.00">frames 40 to 42</a>: the person is not seen' in html
    for outside in ("http:", "https:", "<script", "src=", "@import", "url("):
        assert outside not in html, outside
    assert html.count("<svg") == 11 and "prefers-color-scheme: dark" in html and "width=device-width" in html


def test_a_report_that_cannot_be_made_or_written_gives_one_sentence(motion, body, tmp_path):
    with pytest.raises(UserError, match="was made with the body 'smpl' and not with 'free_body'"):
        report.make(dataclasses.replace(motion, body="smpl"), body)
    made = report.make(motion, body)
    with pytest.raises(UserError, match=r"The report cannot be written to .*report.json \(No such file"):
        report.write(made, tmp_path / "nowhere" / "report.html")


def test_files_are_named_by_their_digest(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"abc")
    assert report.digest(tmp_path / "clip.mp4").startswith("ba7816bf")
    assert report.digest(tmp_path) is None
    assert {"hpof_jax", "python", "jax", "numpy"} <= report.versions().keys()
