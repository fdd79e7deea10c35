import collections

import flax.traverse_util
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from hpof_jax.errors import UserError
from hpof_jax.models import backbone_weights
from hpof_jax.models.backbone import ResNet50
from hpof_jax.models.backbone_weights import convert, fingerprint, load_backbone, torch_name
from tests.predictions import conftest

write = conftest.write


@pytest.fixture(scope="module")
def template():
    """The variables' shapes of the network in small, with the blocks that the reader looks for."""
    return jax.eval_shape(ResNet50(width=2).init, jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))


@pytest.fixture(autouse=True)
def small(monkeypatch, template):
    monkeypatch.setattr(backbone_weights, "_template", lambda: template)
    return template


@pytest.fixture
def state(small):
    """A state dictionary as torchvision's, with random numbers."""
    rng, arrays = np.random.default_rng(0), {}
    for path, leaf in flax.traverse_util.flatten_dict(small).items():
        shape = leaf.shape if len(leaf.shape) == 1 else (leaf.shape[3], leaf.shape[2], *leaf.shape[:2])
        arrays[torch_name(path)] = rng.normal(size=shape).astype(np.float32)
        if path[-1] == "mean":
            arrays[torch_name(path).replace("running_mean", "num_batches_tracked")] = np.array([5])
    return arrays | {"fc.weight": np.zeros((3, 64), np.float32), "fc.bias": np.zeros(3, np.float32)}


def assert_converted(variables, state):
    params = variables["params"]
    np.testing.assert_array_equal(params["conv1"]["kernel"][3, 4, 1, 0], state["conv1.weight"][0, 1, 3, 4])
    block, name = params["layer2_0"], "layer2.0."
    np.testing.assert_array_equal(
        block["conv2"]["kernel"][0, 2, 1, 3], state[name + "conv2.weight"][3, 1, 0, 2]
    )
    np.testing.assert_array_equal(block["downsample_1"]["scale"], state[name + "downsample.1.weight"])
    np.testing.assert_array_equal(params["layer4_2"]["bn3"]["bias"], state["layer4.2.bn3.bias"])
    running = variables["batch_stats"]["layer3_5"]["bn1"]
    np.testing.assert_array_equal(running["mean"], state["layer3.5.bn1.running_mean"])
    np.testing.assert_array_equal(running["var"], state["layer3.5.bn1.running_var"])


def test_safetensors_with_the_names_of_torchvision_and_timm(tmp_path, state):
    save_file(state, tmp_path / "resnet50.safetensors")
    assert_converted(load_backbone(tmp_path / "resnet50.safetensors"), state)


def test_the_fingerprint_is_that_of_the_numbers(state):
    known = fingerprint(convert(state))
    assert len(known) == 16 and fingerprint(convert({"model": dict(reversed(state.items()))})) == known
    state["layer4.2.bn3.bias"] = state["layer4.2.bn3.bias"] + np.float32(1e-3)
    assert fingerprint(convert(state)) != known


@pytest.mark.parametrize("kind", ["torch", "legacy"])
def test_the_checkpoint_of_spin(tmp_path, state, write, kind):
    regressor = {name: np.ones(3, np.float32) for name in ("fc1.weight", "decpose.bias", "init_pose")}
    tensors = {f"module.{name}": write.tensor(array) for name, array in state.items() if array.dtype != int}
    tensors |= {f"module.{name}": write.tensor(array) for name, array in regressor.items()}
    content = {"epoch": 3, "optimizer": {"lr": [0.1]}, "model": collections.OrderedDict(tensors)}
    assert_converted(load_backbone(write(tmp_path / "model_checkpoint.pt", content, kind)), state)


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def changed(name, array):
    return lambda state: state | {name: array}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layer3.5.bn1.running_var"), r"it has no 'layer3\.5\.bn1\.running_var'"),
        (without("layer4.2.conv3.weight"), r"it has no 'layer4\.2\.conv3\.weight'"),
        (changed("conv1.weight", np.zeros((2, 3, 3, 3), np.float32)), r"is \(2, 3, 3, 3\) instead of \(2, 3, 7, 7\)"),
        (changed("bn1.bias", np.full(2, np.nan, np.float32)), "'bn1.bias' does not hold finite numbers"),
        (changed("layer3.6.conv1.weight", np.zeros(3, np.float32)), r"another network, with 'layer3\.6\.conv1"),
    ],
)  # fmt: skip
def test_what_is_no_resnet50_is_one_sentence(tmp_path, state, change, words):
    save_file(change(state), tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=rf"weights\.safetensors holds no ResNet-50 \(.*{words}.*\): give"):
        load_backbone(tmp_path / "weights.safetensors")


def test_what_is_no_file_of_weights_is_one_sentence(tmp_path, state, write):
    with pytest.raises(UserError, match="no weights of a ResNet-50 at .*absent: give"):
        load_backbone(tmp_path / "absent")
    path = tmp_path / "weights.pth"
    for content in (b"", b"text, but no weights", b"\x90\0\0\0\0\0\0\0{cut off"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"weights\.pth"):
            load_backbone(path)
    with pytest.raises(UserError, match="it is no dictionary"):
        load_backbone(write(path, [1, 2], "torch"))


def test_whole_and_cut_files_of_safetensors(tmp_path, state):
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    whole = path.read_bytes()
    for size in (8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"weights\.safetensors"):
            load_backbone(path)
