"""Human3.6M (Ionescu et al., TPAMI 2014): seven people in a laboratory, four cameras, 50 frames/s.

Read are the archives of `D2_Positions` and `D3_Positions_mono` (pixels, and millimetres in the frame of each camera) and
of the videos. Of the 32 joints, 17 are places of the body; the others repeat them. Every second frame is taken, for 25
frames/s. SMPL parameters by MoSh, which were once given out with HMR and are no longer, are read where they are.
"""

import pathlib
from collections.abc import Collection

import numpy as np

from data_pipelines.datasets import base
from data_pipelines.datasets.loaders import array, read_cdf, read_pickle, reading
from hpof_jax.body.skeletons import KEYPOINT_SETS
from hpof_jax.geometry import temporal
from hpof_jax.geometry.numpy_rotations import about, compose, to_matrix
from hpof_jax.observe.video import read_video

WHAT = "a readable file of Human3.6M"
SUBJECTS = {
    "S1": "train",
    "S5": "train",
    "S6": "train",
    "S7": "train",
    "S8": "train",
    "S9": "test",
    "S11": "test",
}
CAMERAS = {"54138969": 1002.0, "55011271": 1000.0, "58860488": 1000.0, "60457274": 1002.0}  # name -> height
FRONTAL = "60457274"
CORRUPT = {("S11", "Directions", "54138969")}  # its video is damaged, as every user of the data set finds
ACTIONS_EACH = 30  # of each subject: 15 actions, twice
STEP = 2
FPS = 25.0
MOSH_STEP = 5  # MoSh's parameters are of every fifth frame
# The places of `KEYPOINT_SETS["h36m17"]` among the 32 joints.
PLACES = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
NAMES = KEYPOINT_SETS["h36m17"]


def find(raw: pathlib.Path, splits: Collection[str] = base.SPLITS) -> base.Found:
    units, missing = [], []
    for subject, split in ((subject, split) for subject, split in SUBJECTS.items() if split in splits):
        folder = raw / subject
        solid = sorted((folder / "MyPoseFeatures" / "D3_Positions_mono").glob("*.cdf"))
        solid = [path for path in solid if not path.name.startswith("_ALL")]
        if len(solid) < 4 * ACTIONS_EACH:
            missing.append(
                f"{4 * ACTIONS_EACH - len(solid)} of 120 files of {subject}/MyPoseFeatures/D3_Positions_mono/"
            )
        for path in solid:
            action, camera = path.stem.rsplit(".", 1)
            if camera not in CAMERAS or (subject, action, camera) in CORRUPT:
                continue
            if not (folder / "MyPoseFeatures" / "D2_Positions" / path.name).is_file():
                missing.append(f"{subject}/MyPoseFeatures/D2_Positions/{path.name}")
                continue
            video = folder / "Videos" / f"{path.stem}.mp4"
            if not video.is_file():
                missing.append(f"{subject}/Videos/{video.name}")
            name = f"{subject}_{action.replace(' ', '_')}_{camera}"
            units.append(
                base.Unit(name, split, path, video if video.is_file() else None, f"{action}.{camera}")
            )
    return base.Found(units, missing)


def read(unit: base.Unit) -> base.Reading:
    action, camera = unit.part.rsplit(".", 1)
    flat_path = unit.path.parent.parent / "D2_Positions" / unit.path.name
    solid, flat = (read_cdf(path, "Pose", WHAT) for path in (unit.path, flat_path))
    with reading(unit.path, WHAT):
        solid, flat = solid.reshape(-1, 32, 3)[::STEP, PLACES] / 1000, flat.reshape(-1, 32, 2)[::STEP, PLACES]
        if len(solid) != len(flat):
            raise ValueError(f"{len(flat)} frames in 2D and {len(solid)} in 3D")
        size = CAMERAS[camera], 1000.0
        focal, centre = base.fit_intrinsics(solid, flat)
        everywhere = np.array(True)
        frames = np.arange(len(solid))
        mosh = _mosh(unit, action, camera, solid)
        person = base.checked(
            base.Sequence(
                person="0",
                fps=FPS,
                image_size=size,
                frame_index=STEP * frames,
                valid=np.ones(len(frames), bool),
                boxes=base.boxes_of(flat, np.ones(flat.shape[:2]), size),
                focal_length=focal,
                principal_point=centre,
                keypoints_2d=base.as_points(base.with_confidence(flat, everywhere), NAMES),
                keypoints_3d=base.as_points(base.with_confidence(solid, everywhere), NAMES),
                reference=solid,
                reference_set="h36m17",
                motion_class=action.rstrip(" 0123456789").lower().replace(" ", "_"),
                subsets=("h36m_p1", "h36m_p2") if camera == FRONTAL else ("h36m_p1",),
                **mosh,
            )
        )
    return base.Reading([person], unit.frames and (lambda: read_video(unit.frames)[0]))


def _mosh(unit: base.Unit, action: str, camera: str, solid: np.ndarray) -> dict:
    """SMPL's parameters of MoSh, interpolated; none where there is no file `mosh/S1/ACTION_camK_aligned.pkl`."""
    subject = unit.path.parents[2]
    number = list(CAMERAS).index(camera)
    path = subject.parent / "mosh" / subject.name / f"{action}_cam{number}_aligned.pkl"
    if not path.is_file():
        return {}
    content = read_pickle(path, WHAT)
    with reading(path, WHAT):
        pose = np.asarray(array(content, "new_poses"), np.float64).reshape(-1, 24, 3)
        position = np.minimum(STEP * np.arange(len(solid)) / MOSH_STEP, len(pose) - 1)
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


DATASET = base.DataSet(
    name="human36m",
    title="Human3.6M",
    url="http://vision.imar.ro/human3.6m/",
    licence="its own, for academic use; an account is needed, which the authors grant",
    citation="Ionescu, Papava, Olaru and Sminchisescu: "
    "Human3.6M: Large Scale Datasets and Predictive Methods for 3D Human Sensing in Natural Environments, TPAMI 2014",
    files=(
        base.File(
            "S{1,5,6,7,8,9,11}/MyPoseFeatures/D2_Positions/*.cdf", "Poses_D2_Positions_S*.tgz, unpacked"
        ),
        base.File("S*/MyPoseFeatures/D3_Positions_mono/*.cdf", "Poses_D3_Positions_mono_S*.tgz, unpacked"),
        base.File("S*/Videos/ACTION.CAMERA.mp4", "Videos_S*.tgz, unpacked"),
        base.File("mosh/S*/ACTION_cam{0..3}_aligned.pkl", "optional: SMPL by MoSh, no longer given out"),
    ),
    find=find,
    read=read,
)
