"""The readers of data sets, as `python -m hpof_jax.data prepare` calls them; the tests' miniatures are the valid files."""

import pathlib
import shutil
from collections.abc import Callable

from benchmarks.door import Door
from data_pipelines.datasets import prepare
from data_pipelines.datasets.catalogue import load_dataset
from data_pipelines.datasets.human36m_files import CAMERAS
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets import (
    test_amass,
    test_emdb,
    test_human36m,
    test_human36m_cameras,
    test_human36m_files,
    test_instavariety,
    test_mpi_inf_3dhp,
    test_penn_action,
    test_posetrack,
    test_rich,
)
from tests.data_pipelines.datasets.conftest import write_3dpw

SPLITS = ("train", "validation", "test")
OPTIONS = prepare.Options(landmarks=False, masks=False, flow=False)  # annotations alone: no detector


def _prepare(name: str, raw: pathlib.Path) -> None:
    """Reads every unit and writes its clips. Raises the first unit's failure."""
    out = raw / "prepared"
    for folder in ("done", *SPLITS):
        (out / folder).mkdir(parents=True)
    for unit in load_dataset(name).find(raw, SPLITS).units:
        outcome = prepare.prepare_unit(name, out, OPTIONS, unit)
        if outcome.failure:
            raise UserError(outcome.failure)


def _door(name: str, file: str, kind: str, make: Callable[[pathlib.Path], object]) -> Door:
    depth = len(pathlib.PurePath(file).parts)

    def make_without_pictures(folder: pathlib.Path) -> None:
        """Nothing reads the pictures, and copying them takes longest."""
        make(folder)
        for pictures in {path.parent for path in folder.rglob("*.jp*g")}:
            shutil.rmtree(pictures)

    return Door(file, kind, make_without_pictures, lambda path: _prepare(name, path.parents[depth - 1]))


def _instavariety(folder: pathlib.Path) -> None:
    import tensorflow as tf

    content, _ = test_instavariety.example(tf)
    test_instavariety.records(folder / "train" / "a.tfrecord", [content])


def _fetched(folder: pathlib.Path) -> None:
    test_human36m_files.write_fetched(folder, cameras=CAMERAS)


def _annot_mat(folder: pathlib.Path) -> None:
    """All cameras see what the only one that is right does."""

    def same(cells):
        for cell in (cells["annot2"], cells["annot3"]):
            for camera in range(len(cell)):
                cell[camera, 0] = cell[2, 0]
        return cells

    test_mpi_inf_3dhp.write_train(folder, change=same)


def _cameras(folder: pathlib.Path) -> None:
    test_human36m_files.write_baseline(folder)
    test_human36m_cameras.write_hdf5(folder, subjects=(9,))


def _baseline_with_xml(folder: pathlib.Path) -> None:
    test_human36m_files.write_baseline(folder)
    (folder / "cameras.h5").unlink()
    test_human36m_cameras.write_xml(folder)


_CDF = "S9/MyPoseFeatures/D3_Positions_mono/Walking 1.60457274.cdf"
_RICH = "bodies/test/Gym_010_cooking1/00005/002.pkl"
DOORS = {
    "set_3dpw": _door("3dpw", "sequenceFiles/train/downtown_cafe_00.pkl", "pickle", write_3dpw),
    "set_human36m": _door("human36m", _CDF, "bytes", test_human36m.write),
    "set_human36m_mosh": _door(
        "human36m", "mosh/S9/Walking 1_cam3_aligned.pkl", "pickle", test_human36m.write_with_mosh
    ),
    "set_human36m_h5": _door(
        "human36m", "S9/MyPoses/3D_positions/Walking 1.h5", "hdf5", test_human36m_files.write_baseline
    ),
    "set_human36m_cameras": _door("human36m", "cameras.h5", "hdf5", _cameras),
    "set_human36m_xml": _door("human36m", "metadata.xml", "text", _baseline_with_xml),
    "set_human36m_annot": _door("human36m", "S9/Walking-1/annot.h5", "hdf5", _fetched),
    "set_mpi_inf_3dhp": _door("mpi_inf_3dhp", "S1/Seq2/annot.mat", "matlab", _annot_mat),
    "set_mpi_inf_3dhp_test": _door(
        "mpi_inf_3dhp", "mpi_inf_3dhp_test_set/TS5/annot_data.mat", "hdf5", test_mpi_inf_3dhp.write_test
    ),
    "set_penn_action": _door("penn_action", "labels/0001.mat", "matlab", test_penn_action.write),
    "set_posetrack": _door(
        "posetrack",
        "posetrack_data/annotations/train/000001_bonn.json",
        "json",
        lambda folder: test_posetrack.write(folder, labelled=range(20)),
    ),
    "set_emdb": _door("emdb", "P0/00_mvs_a/P0_00_mvs_a_data.pkl", "pickle", test_emdb.write),
    "set_rich": _door("rich", _RICH, "pickle", test_rich.write),
    "set_rich_xml": _door("rich", "scan_calibration/Gym/calibration/003.xml", "text", test_rich.write),
    "set_amass": _door(
        "amass",
        "CMU/01/01_01_poses.npz",
        "npz",
        lambda folder: test_amass.write(folder / "CMU/01/01_01_poses.npz"),
    ),
    "records_instavariety": _door("instavariety", "train/a.tfrecord", "tfrecord", _instavariety),
}
