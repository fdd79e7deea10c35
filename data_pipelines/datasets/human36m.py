"""Human3.6M (Ionescu et al., TPAMI 2014): seven people in a laboratory, four cameras, 50 frames/s.

Of the 32 joints, 17 are places of the body; the others repeat them. Every second frame is taken, for 25 frames/s. The
poses come in three layouts, see `human36m_files`. SMPL parameters by MoSh, which were once given out with HMR and are no
longer, are read where they are.
"""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base, human36m_files
from data_pipelines.datasets.human36m_files import CAMERAS, WHAT, names_of, subject_of
from data_pipelines.datasets.loaders import array, read_pickle, reading
from hpof_jax.body.skeletons import KEYPOINT_SETS
from hpof_jax.geometry import temporal
from hpof_jax.geometry.numpy_rotations import about, compose, to_matrix
from hpof_jax.observe.video import read_video

SUBJECTS = {
    "S1": "train",
    "S5": "train",
    "S6": "train",
    "S7": "train",
    "S8": "train",
    "S9": "test",
    "S11": "test",
}
# Of the frames; all are 1000 wide.
HEIGHTS = dict(zip(CAMERAS, (1002.0, 1000.0, 1000.0, 1002.0), strict=True))
FRONTAL = "60457274"
MOSH_STEP = 5  # MoSh's parameters are of every fifth frame
# The places of `KEYPOINT_SETS["h36m17"]` among the 32 joints.
PLACES = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
NAMES = KEYPOINT_SETS["h36m17"]


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    subjects = [(raw / name, split) for name, split in SUBJECTS.items() if split in splits]
    found = [human36m_files.find(folder, split) for folder, split in subjects]
    missing = [text for one in found for text in one.missing]
    return base.Found([unit for one in found for unit in one.units], list(dict.fromkeys(missing)))


def read(unit: base.Unit) -> base.Reading:
    action, camera = unit.part.rsplit(".", 1)
    points = human36m_files.read(unit)
    solid, flat = points.solid[:, PLACES], points.flat[:, PLACES]
    with reading(unit.path, WHAT):
        size = HEIGHTS[camera], 1000.0
        focal, centre = base.fit_intrinsics(solid, flat)
        everywhere = np.array(True)
        mosh = _mosh(unit, action, camera, solid, points.frame_index)
        person = base.checked(
            base.Sequence(
                person="0",
                fps=points.fps,
                image_size=size,
                frame_index=points.frame_index,
                valid=np.ones(len(solid), bool),
                boxes=base.boxes_of(flat, np.ones(flat.shape[:2]), size),
                focal_length=focal,
                principal_point=centre,
                keypoints_2d=base.as_points(base.with_confidence(flat, everywhere), NAMES),
                keypoints_3d=base.as_points(base.with_confidence(solid, everywhere), NAMES),
                reference=solid,
                reference_set="h36m17",
                motion_class=action.rstrip(" -0123456789").lower().replace(" ", "_"),
                subsets=("h36m_p1", "h36m_p2") if camera == FRONTAL else ("h36m_p1",),
                **mosh,
            )
        )
    return base.Reading([person], unit.frames and (lambda: read_video(unit.frames)[0]))


def _mosh(unit: base.Unit, action: str, camera: str, solid: np.ndarray, frames: np.ndarray) -> dict:
    """SMPL's parameters of MoSh, interpolated; none where there is no file `mosh/S1/ACTION_camK_aligned.pkl`."""
    subject = subject_of(unit)
    folder, end = subject.parent / "mosh" / subject.name, f"_cam{CAMERAS.index(camera)}_aligned.pkl"
    path = next(
        (folder / (name + end) for name in names_of(action) if (folder / (name + end)).is_file()), None
    )
    if path is None:
        return {}
    content = read_pickle(path, WHAT)
    with reading(path, WHAT):
        pose = np.asarray(array(content, "new_poses"), np.float64).reshape(-1, 24, 3)
        position = np.minimum(frames / MOSH_STEP, len(pose) - 1)
        pose = temporal.slerp(pose, position)
        # Two conventions of the root exist, half a turn about x apart: the spine says which one it is.
        turned = compose(pose[:, 0], about(0, np.full(len(pose), np.pi)))
        spine = solid[:, NAMES.index("neck")] - solid[:, NAMES.index("pelvis")]
        up = [np.einsum("ti,ti->", to_matrix(root)[:, :, 1], spine) for root in (pose[:, 0], turned)]
        if up[1] > up[0]:
            pose[:, 0] = turned
        pelvis = solid[:, NAMES.index("pelvis")]
        return {
            "pose": pose,
            "transl": pelvis - base.SMPL_PELVIS,
            "betas": array(content, "betas").reshape(-1)[:10],
        }


# A third party's: the site publishes none.
CHECKSUMS = "MD5 in checksums.txt of github.com/anibali/h36m-fetch"

DATASET = base.DataSet(
    name="human36m",
    title="Human3.6M",
    url="http://vision.imar.ro/human3.6m/",
    licence="its own, for academic use; an account is needed, which the authors grant",
    citation="Ionescu, Papava, Olaru and Sminchisescu: "
    "Human3.6M: Large Scale Datasets and Predictive Methods for 3D Human Sensing in Natural Environments, TPAMI 2014",
    files=(
        base.File(
            "S{1,5,6,7,8,9,11}/MyPoseFeatures/D2_Positions/*.cdf",
            "Poses_D2_Positions_S*.tgz, unpacked",
            CHECKSUMS,
        ),
        base.File(
            "S*/MyPoseFeatures/D3_Positions_mono/*.cdf", "Poses_D3_Positions_mono_S*.tgz, unpacked", CHECKSUMS
        ),
        base.File("S*/Videos/ACTION.CAMERA.mp4", "Videos_S*.tgz, unpacked", CHECKSUMS),
        base.File(
            "S*/MyPoses/3D_positions/*.h5 with cameras.h5 or metadata.xml",
            "instead of the .cdf: h36m.zip of 3d-pose-baseline, no longer given out; metadata.xml is in code-v1.2.zip",
        ),
        base.File(
            "S*/ACTION-{1,2}/annot.h5 with imageSequence/CAMERA/img_*.jpg",
            "instead of the .cdf and .mp4: processed/ of h36m-fetch, set to process every frame",
        ),
        base.File("mosh/S*/ACTION_cam{0..3}_aligned.pkl", "optional: SMPL by MoSh, no longer given out"),
    ),
    find=find,
    read=read,
)
