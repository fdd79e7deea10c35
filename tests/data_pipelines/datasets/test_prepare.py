import dataclasses
import json

import numpy as np
import pytest

from data_pipelines.datasets import prepare
from data_pipelines.datasets.base import NO_CHECKSUM, Unit
from data_pipelines.datasets.catalogue import MODULES, load_dataset
from hpof_jax.archives import read_arrays
from hpof_jax.errors import UserError
from hpof_jax.observe.clip import Observations
from tests.data_pipelines.datasets.conftest import FRAMES, write_3dpw

QUICK = prepare.Options(flow=False)


def run(raw, out, options=QUICK, **more):
    return prepare.prepare("3dpw", raw, out, options, **({"partial": True} | more))


def clips(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("clip_*.npz"))


def arrays(path):
    return read_arrays(path, "a clip", "make it again")


def test_each_person_of_a_sequence_becomes_a_clip(tmp_path, net):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw)
    write_3dpw(raw, "office_00", "test", people=1)
    outcomes = run(raw, out)
    assert [(outcome.unit, outcome.clips) for outcome in outcomes] == [
        ("downtown_cafe_00", 2),
        ("office_00", 1),
    ]
    names = [f"train/clip_downtown_cafe_00_{person}_000.npz" for person in (0, 1)]
    assert clips(out) == ["test/clip_office_00_0.npz", *names]
    clip = arrays(out / names[0])
    # Training clips have no frames without a label; those of the test are whole.
    assert clip["valid"].all() and len(clip["seen"]) == FRAMES - 2 and clip["frame_index"][0] == 2
    whole = arrays(out / "test/clip_office_00_0.npz")
    assert len(whole["seen"]) == FRAMES and not whole["valid"][:2].any() and whole["valid"][2:].all()
    assert not whole["seen"][:2].any() and whole["seen"][2:].all()
    np.testing.assert_array_equal(clip["landmarks_3d"][:, 0, 0], clip["frame_index"])  # of the same frames
    # Points of the background tell how the camera moves, for the evaluation in the world.
    assert len(Observations.load(out / "test/clip_office_00_0.npz").background) == FRAMES
    found = Observations.load(out / names[0])
    assert found.background is None
    assert len(found) == FRAMES - 2 and found.masks is not None
    assert not list(out.rglob(".*"))


def test_a_stopped_run_goes_on_and_repeats_nothing(tmp_path, net, monkeypatch):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for number in range(3):
        write_3dpw(raw, f"walk_{number:02d}", people=1)
    done, real = [], prepare.prepare_unit

    def stopping(name, folder, options, unit):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(unit.name)
        return real(name, folder, options, unit)

    monkeypatch.setattr(prepare, "prepare_unit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(raw, out)
    assert clips(out) == ["train/clip_walk_00_0_000.npz"]
    first = (out / "train/clip_walk_00_0_000.npz").read_bytes()
    monkeypatch.setattr(prepare, "prepare_unit", real)
    assert [outcome.unit for outcome in run(raw, out)] == ["walk_01", "walk_02"]
    assert len(clips(out)) == 3 and (out / "train/clip_walk_00_0_000.npz").read_bytes() == first
    assert run(raw, out) == []


def test_a_damaged_unit_is_left_out_and_tried_again(tmp_path, net, caplog):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw, "good_00", people=1)
    write_3dpw(raw, "bad_00", people=1, damage=lambda content: content.pop("trans"))
    outcomes = run(raw, out)
    assert [bool(outcome.failure) for outcome in outcomes] == [True, False]
    assert "bad_00.pkl is not a readable sequence of 3DPW (it has no 'trans')" in caplog.text
    write_3dpw(raw, "bad_00", people=1)
    assert [outcome.unit for outcome in run(raw, out)] == ["bad_00"]
    assert len(clips(out)) == 2


def test_too_few_frames_leave_a_unit_out(tmp_path, net):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw, "good_00", people=1)
    write_3dpw(raw, "short_00", people=1)
    (raw / "imageFiles" / "short_00" / f"image_{FRAMES - 1:05d}.jpg").unlink()
    (failure,) = (outcome.failure for outcome in run(raw, out) if outcome.failure)
    assert f"its frames are {FRAMES - 1} instead of {FRAMES} or more" in failure


def test_missing_files_are_named_in_one_sentence(tmp_path, net):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw)
    with pytest.raises(UserError, match=r"lacks 23 of 24 files sequenceFiles/train.*--partial") as caught:
        run(raw, out, partial=False)
    assert "virtualhumans" in str(caught.value) and not out.exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no file of 3D Poses in the Wild: get them at"):
        run(tmp_path / "empty", out)
    with pytest.raises(UserError, match="There is no folder"):
        run(tmp_path / "nowhere", out)


def test_files_of_other_splits_need_not_be_there(tmp_path, net):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw, split="test", people=1)
    with pytest.raises(UserError, match=r"lacks 23 of 24 files sequenceFiles/test/\*.pkl: get"):
        run(raw, out, partial=False, splits=("test",))


def test_other_options_need_another_folder(tmp_path, net):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw)
    run(raw, out)
    with pytest.raises(UserError, match="made with another landmark_model"):
        run(raw, out, dataclasses.replace(QUICK, landmark_model="heavy"))


def test_without_frames_there_are_only_annotations(tmp_path, net):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw, people=1)
    run(raw, out, dataclasses.replace(QUICK, landmarks=False))
    clip = arrays(out / "train/clip_downtown_cafe_00_0_000.npz")
    assert not net.looks and not clip["seen"].any() and clip["has_smpl"] and clip["pose"].any()
    assert json.loads((out / "manifest.json").read_text())["landmarks"] is False


def test_the_principal_point_becomes_the_middle_of_the_frame(tmp_path, net):
    raw = tmp_path / "raw"

    def shifted(content):
        content["cam_intrinsics"] = content["cam_intrinsics"] + np.array([[0, 0, 8], [0, 0, -4], [0, 0, 0]])

    write_3dpw(raw, people=1, damage=shifted)
    run(raw, tmp_path / "out")
    found = arrays(tmp_path / "out/train/clip_downtown_cafe_00_0_000.npz")
    (number, region) = net.looks[5]
    middle = found["landmarks_2d"][list(found["frame_index"]).index(number), 16, :2]
    np.testing.assert_allclose(middle - (region.x, region.y), [-8, 4], atol=1e-3)


def test_units_have_files_of_their_own(tmp_path):
    one, other = (prepare._done_file(tmp_path, Unit(name, "train", tmp_path)) for name in ("a/b_c", "a_b/c"))
    assert one != other and one.parent == other.parent


def test_image_features_are_of_the_people_in_the_pictures(tmp_path, net, monkeypatch):
    calls = []

    def extract(crops):
        calls.append(len(crops))
        assert crops.shape[1:] == (224, 224, 3) and crops.dtype == np.float32
        # The grey of a frame is its number; crops have ImageNet's mean and deviation.
        grey = np.round(255 * (crops[:, 112, 112, 0] * 0.229 + 0.485))
        return np.tile(grey[:, None], (1, 2048))

    extract.fingerprint = "0123456789abcdef"
    monkeypatch.setattr(prepare, "_extractor", lambda weights: extract)
    raw = tmp_path / "raw"
    write_3dpw(raw, split="test", people=1)
    run(raw, tmp_path / "out", dataclasses.replace(QUICK, features="resnet50.pth"))
    clip = arrays(tmp_path / "out/test/clip_downtown_cafe_00_0.npz")
    features = clip["features"]
    assert clip["backbone"] == extract.fingerprint
    assert json.loads((tmp_path / "out/manifest.json").read_text())["features"] == extract.fingerprint
    assert features.shape == (FRAMES, 2048) and sum(calls) == FRAMES - 2
    np.testing.assert_array_equal(features[:, 7], [0, 0, *range(2, FRAMES)])
    # The same ResNet-50 in another file goes on; another one needs another folder.
    run(raw, tmp_path / "out", dataclasses.replace(QUICK, features="elsewhere/resnet50.safetensors"))
    extract.fingerprint = "another"
    with pytest.raises(UserError, match="made with another features"):
        run(raw, tmp_path / "out", dataclasses.replace(QUICK, features="resnet50.pth"))


def test_every_data_set_says_what_to_download_and_finds_nothing_in_an_empty_folder(tmp_path):
    for name in MODULES:
        dataset = load_dataset(name)
        assert dataset.name == name and dataset.files and dataset.licence and dataset.url.startswith("http")
        assert all(file.checksum == NO_CHECKSUM or file.checksum.startswith("MD5") for file in dataset.files)
        units, missing = dataset.find(tmp_path, ("train", "validation", "test"))
        assert not units and missing
    with pytest.raises(UserError, match="There is no data set 'coco': choose one of 3dpw, amass"):
        load_dataset("coco")
