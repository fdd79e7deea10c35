import pytest
from ml_collections import ConfigDict

from configs import hpof
from hpof_jax.errors import UserError
from hpof_jax.models.build import make_model
from hpof_jax.models.hpof import HPOF


def model_config(**fields):
    return ConfigDict({"name": "hpof", "channels": 8, "dilations": (1,), "hidden": 4, **fields})


def test_the_mlp_has_no_context():
    model = make_model(hpof.get_config("mlp").model)
    assert isinstance(model, HPOF) and model.kernel_size == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "resnet"}, "no model 'resnet'"),
        ({"depth": 3}, "no field 'depth'.*channels"),
        (
            {"encoder_type": "lstm"},
            r"no 'lstm' for --config\.model\.encoder_type: choose one of dilated, gru",
        ),
    ],
)
def test_a_model_that_there_is_not(fields, words):
    with pytest.raises(UserError, match=words):
        make_model(model_config(**fields))
