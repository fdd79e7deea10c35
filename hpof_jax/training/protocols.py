"""How benchmarks are scored: joints, origin, alignment and metrics, as data.

`python -m hpof_jax.evaluate --protocol NAME` takes these names. `docs/protocols.md` explains them.
"""

import dataclasses
from typing import NamedTuple


class Metric(NamedTuple):
    """A column of a table."""

    label: str
    unit: str
    digits: int = 1


METRICS = {
    "mpjpe": Metric("MPJPE", "mm"),
    "pa_mpjpe": Metric("PA-MPJPE", "mm"),
    "n_mpjpe": Metric("N-MPJPE", "mm"),
    "pve": Metric("PVE", "mm"),
    "pck_150": Metric("PCK@150", "%"),
    "auc": Metric("AUC", "%"),
    "acceleration_error": Metric("Accel", "mm/frame^2"),
    "acceleration_error_si": Metric("Accel", "m/s^2"),
    "wa_mpjpe": Metric("WA-MPJPE", "mm"),
    "w_mpjpe": Metric("W-MPJPE", "mm"),
    "rte": Metric("RTE", "%", 2),
    "jitter": Metric("Jitter", "10 m/s^3"),
    "foot_sliding": Metric("Foot sliding", "mm/frame", 2),
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a benchmark is scored."""

    title: str
    keypoints: str  # a set of `body.skeletons.KEYPOINT_SETS`, and thereby the joints and their order
    root: tuple[str, ...]  # the mean of these points is the origin of MPJPE, PVE, PCK, AUC and acceleration
    metrics: tuple[str, ...]  # keys of METRICS; PA-MPJPE is after a similarity transform of each frame
    data: str  # the sequences, frames and cameras that count
    source: str  # the programs and papers that are followed
    frame: str = "camera"  # or "world": the frame of the motions


_HIPS = ("left_hip", "right_hip")
_3DPW = "the 24 test sequences, everybody, frames whose `campose_valid` is true"

PROTOCOLS = {
    "smpl24": Protocol(
        "SMPL's joints",
        "smpl24",
        ("pelvis",),
        ("mpjpe", "pa_mpjpe", "n_mpjpe", "pve", "pck_150", "acceleration_error"),
        "any",
        "the tables of this package",
    ),
    "3dpw": Protocol(
        "3DPW, 14 joints",
        "lsp14",
        _HIPS,
        ("pa_mpjpe", "mpjpe", "pve", "acceleration_error"),
        _3DPW,
        "VIBE (Kocabas et al., CVPR 2020) and TCMR (Choi et al., CVPR 2021); SPIN (Kolotouros et al., ICCV "
        "2019) takes the regressed pelvis as origin",
    ),
    "3dpw_smpl24": Protocol(
        "3DPW, SMPL's 24 joints",
        "smpl24",
        ("pelvis",),
        ("pa_mpjpe", "mpjpe", "pve", "acceleration_error"),
        _3DPW,
        "the challenge of the data set (von Marcard et al., ECCV 2018)",
    ),
    "h36m_p1": Protocol(
        "Human3.6M, protocol 1",
        "lsp14",
        _HIPS,
        ("mpjpe", "pa_mpjpe", "acceleration_error"),
        "subjects 9 and 11, all four cameras",
        "HMR (Kanazawa et al., CVPR 2018), SPIN and VIBE",
    ),
    "h36m_p2": Protocol(
        "Human3.6M, protocol 2",
        "lsp14",
        _HIPS,
        ("pa_mpjpe",),
        "subjects 9 and 11, the frontal camera (60457274)",
        "HMR (Kanazawa et al., CVPR 2018), SPIN and VIBE",
    ),
    "mpi_inf_3dhp": Protocol(
        "MPI-INF-3DHP, 17 joints",
        "mpi_inf_3dhp17",
        ("pelvis",),
        ("pa_mpjpe", "mpjpe", "pck_150", "auc", "acceleration_error"),
        "test sequences 1 to 6, annotated frames",
        "the data set (Mehta et al., 3DV 2017) and SPIN",
    ),
    "emdb1": Protocol(
        "EMDB 1, camera frame",
        "smpl24",
        _HIPS,
        ("pa_mpjpe", "mpjpe", "pve", "acceleration_error_si"),
        "17 sequences of EMDB 1, frames of `good_frames_mask`",
        "WHAM (Shin et al., CVPR 2024) and GVHMR (Shen et al., SIGGRAPH Asia 2024)",
    ),
    "emdb2": Protocol(
        "EMDB 2, world",
        "smpl24",
        _HIPS,
        ("wa_mpjpe", "w_mpjpe", "rte", "jitter", "foot_sliding"),
        "25 sequences of EMDB 2, frames of `good_frames_mask`",
        "WHAM (Shin et al., CVPR 2024) and GVHMR (Shen et al., SIGGRAPH Asia 2024)",
        "world",
    ),
}
