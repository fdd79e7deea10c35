"""MPI-INF-3DHP (Mehta et al., 3DV 2017): eight people before a green screen, and a test set of six videos.

The training sequences have points in the frame of each camera, in millimetres. Of 14 cameras eight are at the height of
a person, and have their videos in the usual download. The test set's reference is `univ_annot3`, scaled to the height of
one skeleton, as the published numbers are.
"""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import open_hdf5, read_matlab, reading
from hpof_jax.body.skeletons import KEYPOINT_SETS
from hpof_jax.observe.video import read_video

TRAIN, TEST = "a readable annotation of MPI-INF-3DHP", "a readable test annotation of MPI-INF-3DHP"
SEQUENCES = tuple((subject, sequence) for subject in range(1, 9) for sequence in (1, 2))
FAST = {(1, 2), (3, 1), (3, 2), (5, 1), (5, 2)}  # sequences of 50 frames/s; the others have 25
CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)  # at the height of a person
TESTS = tuple(f"TS{number}" for number in range(1, 7))
IMAGE = (2048.0, 2048.0)
TEST_IMAGES = {name: (1080.0, 1920.0) if name in ("TS5", "TS6") else IMAGE for name in TESTS}
TEST_FPS = 25.0

# The 28 joints of the training annotations, with the names of `base.POINTS`; "-" for what no other set has. The top of
# the head is the crown, as LSP's.
JOINTS = tuple(
    """- - - spine pelvis neck jaw head_top_lsp - left_shoulder left_elbow left_wrist - - right_shoulder right_elbow right_wrist -
    left_hip left_knee left_ankle - - right_hip right_knee right_ankle - -""".split()
)
TEST_SET = "mpi_inf_3dhp17"


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    units, missing = [], []
    for subject, sequence in SEQUENCES if "train" in splits else ():
        folder = raw / f"S{subject}" / f"Seq{sequence}"
        if not (folder / "annot.mat").is_file():
            missing.append(f"S{subject}/Seq{sequence}/annot.mat")
            continue
        for camera in CAMERAS:
            video = folder / "imageSequence" / f"video_{camera}.avi"
            if not video.is_file():
                missing.append(f"S{subject}/Seq{sequence}/imageSequence/{video.name}")
            name = f"S{subject}_Seq{sequence}_{camera}"
            frames = video if video.is_file() else None
            units.append(base.Unit(name, "train", folder / "annot.mat", frames, str(camera)))
    for name in TESTS if "test" in splits else ():
        folder = next((f for f in (raw / "mpi_inf_3dhp_test_set" / name, raw / name) if f.is_dir()), None)
        if folder is None or not (folder / "annot_data.mat").is_file():
            missing.append(f"mpi_inf_3dhp_test_set/{name}/annot_data.mat")
            continue
        frames = folder / "imageSequence"
        if not frames.is_dir():
            missing.append(f"mpi_inf_3dhp_test_set/{name}/imageSequence/")
        units.append(base.Unit(name, "test", folder / "annot_data.mat", frames if frames.is_dir() else None))
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    person = _read_test(unit) if unit.split == "test" else _read_train(unit)
    return base.Reading([person], unit.frames and (lambda: read_video(unit.frames)[0]))


def _read_train(unit: base.Unit) -> base.Sequence:
    """One camera of a sequence: `annot2` and `annot3` are cells of one array for each camera."""
    found = read_matlab(unit.path, ("annot2", "annot3"), TRAIN)
    with reading(unit.path, f"{TRAIN} in camera {unit.part}"):
        camera = int(unit.part)
        flat, solid = (
            np.asarray(found[name].reshape(-1)[camera], np.float64).reshape(-1, len(JOINTS), size)
            for name, size in (("annot2", 2), ("annot3", 3))
        )
        if len(flat) != len(solid):
            raise ValueError(f"{len(flat)} frames in 2D and {len(solid)} in 3D")
        solid = solid / 1000  # from millimetres
        subject, sequence = (int(part.lstrip("Seq")) for part in unit.name.split("_")[:2])
        focal, centre = base.fit_intrinsics(solid, flat)
        frames = np.arange(len(flat))
        return base.checked(
            base.Sequence(
                person="0",
                fps=50.0 if (subject, sequence) in FAST else 25.0,
                image_size=IMAGE,
                frame_index=frames,
                valid=np.ones(len(frames), bool),
                boxes=base.boxes_of(flat, np.ones(flat.shape[:2]), IMAGE),
                focal_length=focal,
                principal_point=centre,
                keypoints_2d=base.as_points(base.with_confidence(flat, np.array(True)), JOINTS),
                keypoints_3d=base.as_points(base.with_confidence(solid, np.array(True)), JOINTS),
                motion_class="mpi_inf_3dhp",
            )
        )


def _read_test(unit: base.Unit) -> base.Sequence:
    """A test video. MATLAB's arrays come in the reverse order of their axes: (T, 1, 17, 3)."""
    with open_hdf5(unit.path, TEST) as file:
        flat, solid, valid = (file.read(name) for name in ("annot2", "univ_annot3", "valid_frame"))
    names = KEYPOINT_SETS[TEST_SET]
    with reading(unit.path, TEST):
        frames = valid.size
        flat, solid = flat.reshape(frames, len(names), 2), solid.reshape(frames, len(names), 3) / 1000
        valid = valid.reshape(-1) > 0
        there = np.repeat(valid[:, None], len(names), axis=1)
        return base.checked(
            base.Sequence(
                person="0",
                fps=TEST_FPS,
                image_size=TEST_IMAGES[unit.name],
                frame_index=np.arange(frames),
                valid=valid,
                boxes=base.boxes_of(flat, there, TEST_IMAGES[unit.name]),
                keypoints_2d=base.as_points(base.with_confidence(flat, there), names),
                reference=np.where(there[..., None], solid, 0),
                reference_set=TEST_SET,
                motion_class="mpi_inf_3dhp",
            )
        )


DATASET = base.DataSet(
    name="mpi_inf_3dhp",
    title="MPI-INF-3DHP",
    url="https://vcai.mpi-inf.mpg.de/3dhp-dataset/",
    licence="its own, for non-commercial scientific research; the download script asks you to accept it",
    citation="Mehta, Rhodin, Casas, Fua, Sotnychenko, Xu and Theobalt: "
    "Monocular 3D Human Pose Estimation in the Wild Using Improved CNN Supervision, 3DV 2017",
    files=(
        base.File("S{1..8}/Seq{1,2}/annot.mat", "get_dataset.sh: 16 files"),
        base.File(
            "S{1..8}/Seq{1,2}/imageSequence/video_{0,1,2,4,5,6,7,8}.avi",
            "get_dataset.sh, unpacked: 128 videos",
        ),
        base.File("mpi_inf_3dhp_test_set/TS{1..6}/annot_data.mat", "get_testset.sh: 6 files"),
        base.File("mpi_inf_3dhp_test_set/TS{1..6}/imageSequence/img_*.jpg", "get_testset.sh: 6 folders"),
    ),
    find=find,
    read=read,
)
