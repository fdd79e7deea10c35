import pytest

from benchmarks.train_step import load_config
from hpof_jax.errors import UserError


def test_a_config_comes_from_a_file_with_its_variant():
    assert load_config("configs/hpof.py").model.kernel_size == 3
    assert load_config("configs/hpof.py:mlp").model.kernel_size == 1


@pytest.mark.parametrize("path", ["configs/none.py", "configs/hpof.py:none", "configs/__init__.py"])
def test_a_config_that_is_not_there_is_refused_in_one_sentence(path):
    with pytest.raises(UserError, match="cannot be read"):
        load_config(path)
