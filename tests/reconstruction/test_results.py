import sys

import pytest

from hpof_jax.errors import UserError
from hpof_jax.reconstruction import results


def test_only_a_folder_that_was_made_for_nothing_is_taken_away(tmp_path):
    def fail(out, *files):
        with pytest.raises(ValueError, match="no person"), results.open_folder(out) as folder:
            for name in files:
                (folder / name).touch()
            raise ValueError("no person")
        return out.exists()

    assert not fail(tmp_path / "new")
    assert fail(tmp_path / "kept", "motion.npz")
    assert fail(tmp_path)


def test_no_folder_where_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with results.open_folder(None) as folder:
        assert folder is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(sys.platform != "linux", reason="where not even root can write")
@pytest.mark.parametrize("out", ["file", "file/below", "/proc", "/proc/nothing"])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, out):
    (tmp_path / "file").touch()
    words = r"The folder .* cannot be written to \(.*\): give another --out"
    with pytest.raises(UserError, match=words), results.open_folder(tmp_path / out):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
