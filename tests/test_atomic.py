import errno

import pytest

from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "notes.txt"
    with replacing(path, "The text") as partial:
        partial.write_text("half")
        assert not path.exists() and partial.parent == tmp_path and partial.suffix == ".txt"
        partial.write_text("whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "disk full"), KeyError("a defect"), KeyboardInterrupt()]
)
def test_what_breaks_off_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises((UserError, KeyError, KeyboardInterrupt)) as caught:
        with replacing(path, "The text") as partial:
            partial.write_text("new")
            raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert (
            str(caught.value) == f"The text cannot be written to {path} (disk full): make room on the disk."
        )
    else:
        assert caught.value is error


def test_a_place_that_cannot_be_written_to_gets_one_sentence(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere" / "notes.txt", tmp_path / "folder"):
        with pytest.raises(
            UserError, match=r"The text cannot be written to .*: give a path that can be written"
        ):
            with replacing(path, "The text") as partial:
                partial.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
