"""Which files are written, and what wrong input gives."""

import dataclasses
import importlib.util

import pytest

from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.export import ENDINGS, check_formats, export
from hpof_jax.export.files import NEEDS


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_every_format_is_written(small_motion, tmp_path):
    formats = [name for name in ENDINGS if name not in NEEDS or importlib.util.find_spec(NEEDS[name][0])]
    paths = export({"Läufer am See": small_motion}, tmp_path / "für Zoë", formats)
    assert sorted(path.name for path in paths) == names(tmp_path / "für Zoë")
    endings = [ending for name in formats for ending in ENDINGS[name]]
    assert names(tmp_path / "für Zoë") == sorted(f"Läufer am See{ending}" for ending in endings)


def test_several_people_share_one_glb_and_one_page(small_motion, tmp_path):
    export({"a": small_motion, "b": small_motion}, tmp_path, "glb,csv,html")
    assert names(tmp_path) == [
        *("a.csv", "a_angles.csv", "b.csv", "b_angles.csv", "people.glb", "people.html")
    ]


@pytest.mark.parametrize("suffix", [".glb", ".bvh", ".csv", "_angles.csv", ".trc", ".mot", ".npz", ".html"])
def test_a_motion_exports_itself(small_motion, tmp_path, suffix):
    small_motion.export(
        tmp_path / f"my clip{suffix}", load_body(), camera_pitch=-5, names="mixamo", bvh_unit="cm"
    )
    assert names(tmp_path) == [f"my clip{suffix}"]
    assert (tmp_path / f"my clip{suffix}").stat().st_size > 1000


def test_the_ending_of_the_name_decides_what_is_in_the_file(small_motion, tmp_path):
    small_motion.export(tmp_path / "a.csv")
    small_motion.export(tmp_path / "A_Angles.CSV")
    assert (tmp_path / "a.csv").read_text().startswith("time,confidence,pelvis_x,")
    assert (tmp_path / "A_Angles.CSV").read_text().startswith("time,confidence,pelvis_tilt,")


def test_formats_are_a_list_or_a_text():
    assert check_formats("GLB, bvh,glb,") == ("glb", "bvh") == check_formats(["glb", "bvh"])
    with pytest.raises(
        UserError,
        match="no format 'fbx': choose some of glb, bvh, usd, csv, trc, opencap, mot, amass, rrd, html",
    ):
        check_formats("glb,fbx")
    with pytest.raises(UserError, match="No format is given"):
        check_formats(" ,")


@pytest.mark.parametrize(("format_", "package"), [("usd", "usd-core"), ("rrd", "rerun-sdk")])
def test_a_missing_package_gives_one_sentence_and_no_file(
    small_motion, tmp_path, monkeypatch, format_, package
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"needs the package {package}: run `pip install {package}`"):
        export({"a": small_motion}, tmp_path / "out", f"glb,{format_}")
    with pytest.raises(UserError, match=f"needs the package {package}"):
        small_motion.export(tmp_path / f"a.{format_}")
    assert not names(tmp_path)


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (dict(body="SMPL_MALE"), {}, "The motion 'a' was made with the body 'SMPL_MALE'"),
        ({}, dict(formats="fbx"), "There is no format 'fbx'"),
        ({}, dict(names="unity"), "no joint names 'unity'"),
        ({}, dict(bvh_unit="inch"), "no unit 'inch': choose one of m, cm"),
        ({}, dict(camera_pitch=120), "The camera's pitch is 120 degrees"),
        ({}, dict(body="absent.pkl"), "no body file at absent.pkl"),
        ({}, dict(formats="html", video="absent.mp4"), "There is no video absent.mp4"),
        ({}, dict(formats="glb", video="a.mp4"), "A video is shown only in .html files: add html"),
    ],
)
def test_wrong_input_gives_one_sentence_and_no_file(small_motion, tmp_path, change, options, sentence):
    motions = {"a": dataclasses.replace(small_motion, **change)}
    with pytest.raises(UserError, match=sentence):
        export(motions, tmp_path / "out", **{"formats": "glb", **options})
    assert not names(tmp_path)


def test_an_empty_motion_gives_one_sentence(small_motion, tmp_path):
    arrays = "poses trans joints keypoints_2d cam box confidence frame_index times camera_rotation camera_position".split()
    empty = dataclasses.replace(small_motion, **{name: getattr(small_motion, name)[:0] for name in arrays})
    with pytest.raises(UserError, match="The motion 'a' has no frame"):
        export({"a": empty}, tmp_path, "glb")


def test_a_suffix_of_no_format_and_a_place_that_cannot_be_written(small_motion, tmp_path):
    with pytest.raises(
        UserError,
        match=r"a.fbx has the suffix of no format: .* .glb, .bvh, .usd, .csv, .trc, .mot, .npz, .rrd",
    ):
        small_motion.export(tmp_path / "a.fbx")
    with pytest.raises(UserError, match="The GLB file cannot be written to .*nowhere"):
        small_motion.export(tmp_path / "nowhere" / "a.glb")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"The folder .*file cannot be made \(File exists\)"):
        export({"a": small_motion}, tmp_path / "file", "csv")
