"""Tells OpenCap's session folders from Pose2Sim's."""

import os
import pathlib

from hpof_jax.archives import damage
from hpof_jax.errors import UserError
from hpof_jax.sessions import opencap, pose2sim
from hpof_jax.sessions.session import Session


def read_session(folder: str | os.PathLike) -> Session:
    """Reads what a session folder holds; videos, markers and angles are only listed.

    Args:
      folder: of OpenCap, with `sessionMetadata.yaml` or `Videos/Cam0`; or of Pose2Sim, with `Config.toml`.

    Raises:
      UserError: no such folder, no session, no trial in it, or a damaged calibration.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: give a session of OpenCap or Pose2Sim.")
    with damage(folder, "a readable session", "check the folder and its rights"):
        for program in (opencap, pose2sim):
            if program.is_session(folder):
                session = program.read(folder)
                if not session.trials:
                    raise UserError(f"{folder} holds no trial: it has neither a video nor a .trc file.")
                return session
    raise UserError(
        f"{folder} is no session: a folder of OpenCap has sessionMetadata.yaml, one of Pose2Sim has Config.toml."
    )
