"""AMASS (Mahmood et al., ICCV 2019): motion capture as SMPL parameters, for the motion sources and the adversary.

Files become files of AMASS at 30 frames/s with SMPL's 72 numbers a frame, a twentieth of the size, which
`config.data.amass` reads.
"""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.motion.amass import read_motion
from data_pipelines.motion.clip import FPS, is_validation, resample

# The folders of the data set's parts, as they unpack; the names of some have changed.
PARTS = (
    ("ACCAD",),
    ("BMLhandball",),
    ("BMLmovi",),
    ("BMLrub", "BioMotionLab_NTroje"),
    ("CMU",),
    ("DanceDB",),
    ("DFaust", "DFaust_67"),
    ("EKUT",),
    ("EyesJapanDataset", "Eyes_Japan_Dataset"),
    ("GRAB",),
    ("HDM05", "MPI_HDM05"),
    ("HUMAN4D",),
    ("HumanEva",),
    ("KIT",),
    ("Mosh", "MPI_mosh"),
    ("PosePrior", "MPI_Limits"),
    ("SFU",),
    ("SOMA",),
    ("SSM", "SSM_synced"),
    ("TCDHands", "TCD_handMocap"),
    ("TotalCapture",),
    ("Transitions", "Transitions_mocap"),
    ("WEIZMANN",),
    ("CNRS",),
)
NO_MOTION = ("shape.npz", "_stagei.npz")  # ends of the names of files that hold a body's shape


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    files = sorted(path for path in raw.rglob("*.npz") if not path.name.endswith(NO_MOTION))
    units = []
    for path in files:
        place = path.relative_to(raw)
        split = "validation" if is_validation(path.name) else "train"
        if split not in splits:
            continue
        units.append(base.Unit(place.with_suffix("").as_posix(), split, path))
    folders = {part for path in files for part in path.relative_to(raw).parts[:-1]}
    missing = [f"{names[0]}/" for names in PARTS if not folders & {*names}]
    return base.Found(units, missing)


def read(unit: base.Unit) -> dict[str, np.ndarray]:
    """The arrays of a file of AMASS at 30 frames/s, with the fingers at rest, in its own world (z up)."""
    pose, trans, betas, fps = read_motion(unit.path)
    pose, trans = resample(pose, trans, fps)
    return {
        "poses": pose.reshape(len(pose), 72).astype(np.float32),
        "trans": trans.astype(np.float32),
        "betas": np.zeros(0, np.float32) if betas is None else betas,
        "mocap_framerate": np.float32(FPS),
    }


DATASET = base.DataSet(
    name="amass",
    title="AMASS",
    url="https://amass.is.tue.mpg.de/",
    licence="its own, for non-commercial scientific research; an account is needed, and each part has its own terms",
    citation="Mahmood, Ghorbani, Troje, Pons-Moll and Black: "
    "AMASS: Archive of Motion Capture as Surface Shapes, ICCV 2019",
    files=(
        base.File(
            f"{{{','.join(names[0] for names in PARTS)}}}/**/*.npz",
            "the archives 'SMPL-H G' or 'SMPL+H G' of these 24 parts, unpacked",
        ),
    ),
    find=find,
    read=read,
)
