"""Folders that are no sessions."""

import pytest

from hpof_jax.errors import UserError
from hpof_jax.sessions import read_session


def test_no_session(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        read_session(tmp_path / "none")
    with pytest.raises(UserError, match="is no session"):
        read_session(tmp_path)
    (tmp_path / "Config.toml").write_text("")
    with pytest.raises(UserError, match="holds no trial"):
        read_session(tmp_path)
