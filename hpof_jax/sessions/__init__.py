"""Recordings of motion laboratories: videos, calibration, markers and joint angles in OpenCap's and Pose2Sim's folders."""

from hpof_jax.sessions.folders import read_session
from hpof_jax.sessions.session import Camera, Session, Trial

__all__ = ["Camera", "Session", "Trial", "read_session"]
