import importlib.util
import sys

import numpy as np
import pytest

from benchmarks import smpl_layer
from hpof_jax.errors import UserError


def test_without_the_peers_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "smplx" else name)
    monkeypatch.setattr(sys, "argv", ["smpl_layer"])
    with pytest.raises(SystemExit) as ended:
        smpl_layer.main()
    assert ended.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: This benchmark needs smplx: pip install") and "\n" not in message


def test_layers_with_other_results_are_not_timed():
    ours = np.ones((2, 3)), np.zeros(2) + 1
    smpl_layer.check_agreement(ours, {"same": (ours[0] + 1e-5, ours[1])})
    with pytest.raises(UserError, match="other has other results"):
        smpl_layer.check_agreement(ours, {"other": (ours[0], ours[1] + 1e-3)})
