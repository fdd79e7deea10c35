import pathlib

import pytest

from hpof_jax.config_files import find_config, load_config
from hpof_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]


def test_a_config_comes_from_a_file_with_its_variant():
    assert load_config("configs/hpof.py").model.kernel_size == 3
    assert load_config("configs/hpof.py:mlp").model.kernel_size == 1


def test_the_packages_configs_are_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("configs/hpof.py:mlp") == f"{ROOT / 'configs/hpof.py'}:mlp"
    assert load_config("configs/tiny.py").batch_size == 8


def test_a_file_in_the_working_folder_goes_before_the_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/hpof.py").write_text("def get_config():\n    return 'mine'\n", encoding="utf-8")
    assert load_config("configs/hpof.py") == "mine"


@pytest.mark.parametrize(
    "path", ["mine.py:variant", "configs/none.py", "/configs/hpof.py", "x/configs/hpof.py"]
)
def test_other_paths_stay_as_they_are(path):
    assert find_config(path) == path


@pytest.mark.parametrize("path", ["configs/none.py", "configs/hpof.py:none", "configs/__init__.py"])
def test_a_config_that_is_not_there_is_refused_in_one_sentence(path):
    with pytest.raises(UserError, match="cannot be read"):
        load_config(path)
