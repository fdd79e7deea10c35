import pickle

import numpy as np
import pytest

from data_pipelines.datasets import prepare
from data_pipelines.datasets.catalogue import MODULES, load_dataset
from hpof_jax.archives import read_arrays
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import FRAMES, write_3dpw

tfds = pytest.importorskip("tensorflow_datasets")
builders = pytest.importorskip("data_pipelines.datasets.builders")

QUICK = prepare.Options(flow=False)


def build(name, data_dir, manual_dir, **more):
    builder = tfds.builder(f"hpof_{name}", data_dir=data_dir, **more)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return builder


def test_original_files_become_a_data_set_that_tfds_alone_reads(tmp_path, net):
    raw = tmp_path / "raw"
    write_3dpw(raw)
    write_3dpw(raw, "office_00", "test", people=1)
    folder = build("3dpw", tmp_path / "tfds", raw, options=QUICK, partial=True).data_dir
    builder = tfds.builder_from_directory(folder)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 2,
        "test": 1,
    }
    assert "ECCV 2018" in builder.info.citation
    assert "research" in builder.info.as_proto.redistribution_info.license
    (example,) = tfds.as_numpy(builder.as_dataset(split="test"))
    stored = read_arrays(tmp_path / "tfds/hpof_3dpw/clips/test/clip_office_00_0.npz", "a clip", "")
    assert example["seen"].shape == (FRAMES,) and example["name"] == b"office_00/0"
    for key in stored.keys() & example.keys():
        if stored[key].dtype.kind != "U":
            assert example[key].dtype == stored[key].dtype, key
            np.testing.assert_array_equal(example[key], stored[key], err_msg=key)
    # What the clip does not have has no rows.
    assert example["flow"].shape == (0, 2, 64, 64, 2) and example["keypoints_3d"].shape == (0, 24, 4)
    left_out = {key for key in stored if key.startswith("background_")} | {"validation"}
    assert stored.keys() - example.keys() == left_out


def test_a_prepared_folder_is_taken_as_it_is(tmp_path, net, monkeypatch, caplog):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_3dpw(raw, people=2)
    prepare.prepare("3dpw", raw, out, QUICK, partial=True)
    (out / "train/clip_downtown_cafe_00_1_000.npz").write_bytes(b"damaged")
    monkeypatch.setattr(prepare, "prepare", lambda *arguments, **options: pytest.fail("prepared twice"))
    builder = build("3dpw", tmp_path / "tfds", out)
    assert builder.info.splits["train"].num_examples == 1 and "Left out" in caplog.text
    with pytest.raises(UserError, match="holds the data set '3dpw': give a folder of emdb"):
        build("emdb", tmp_path / "tfds", out)


def test_motion_of_amass_is_read_by_the_motion_source(tmp_path):
    from data_pipelines.motion.tfds import read_records

    poses = np.random.default_rng(0).normal(0, 0.1, (40, 156))
    (tmp_path / "raw/CMU/01").mkdir(parents=True)
    np.savez(
        tmp_path / "raw/CMU/01/01_01_poses.npz",
        poses=poses,
        trans=np.zeros((40, 3)),
        betas=np.zeros(16),
        mocap_framerate=60.0,
        gender="male",
    )
    folder = build("amass", tmp_path / "tfds", tmp_path / "raw", partial=True).data_dir
    (clip,) = read_records(folder)
    assert len(clip.pose) == 20


def test_every_data_set_has_a_builder_that_names_its_files(tmp_path):
    for name in MODULES:
        builder = tfds.builder(f"hpof_{name}", data_dir=tmp_path, processes=3)
        for file in load_dataset(name).files:
            assert f"- {file.place} (" in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        assert load_dataset(name).url in builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    assert pickle.loads(pickle.dumps(builder))._how == builder._how
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="Accept the terms of 3D Poses in the Wild at https"):
        build("3dpw", tmp_path / "tfds", tmp_path / "empty")
