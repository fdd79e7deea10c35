"""The ResNet-50 of this package against torchvision's (torch, CPU), with the same random weights.

    pip install torch==2.13.0 torchvision==0.28.0
    python -m benchmarks.backbone --json backbone.json

Weights and running statistics are random. They are written as torch's `.pth`, as its older `.pth`, as `.safetensors`,
and as SPIN's checkpoint, and read by `load_backbone`. "difference" is the largest one of any feature, and "relative"
is over the largest feature. Both networks then take turns on a batch of crops.
"""

import argparse
import os
import pathlib
import statistics
import tempfile

import jax
import numpy as np

from benchmarks.program import print_row, program
from benchmarks.timing import ratio
from hpof_jax.cli import positive_int
from hpof_jax.errors import UserError
from hpof_jax.models.backbone import ResNet50
from hpof_jax.models.backbone_weights import load_backbone
from hpof_jax.timing import interleaved

TOLERANCE = 1e-4


def random_network(seed: int):
    """torchvision's network with random weights and running statistics, and as large activations as a trained one."""
    import torch
    import torchvision

    torch.manual_seed(seed)
    network = torchvision.models.resnet50(weights=None).eval()
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
                # Else the residuals would add up to features in the thousands.
                layer.weight.uniform_(*((0.1, 0.3) if name.endswith("bn3") else (0.5, 1.5)))
    network.fc = torch.nn.Identity()
    return network


def write_layouts(state: dict, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The state dictionary in every layout: name -> file."""
    import torch
    from safetensors.numpy import save_file

    spin = {f"module.{name}": values for name, values in state.items()}
    spin |= {"module.fc1.weight": torch.zeros(8, 8), "module.init_pose": torch.zeros(1, 144)}
    files = {name: folder / f"{name}.pth" for name in ("torchvision", "before torch 1.6", "SPIN")}
    torch.save(state, files["torchvision"])
    torch.save(state, files["before torch 1.6"], _use_new_zipfile_serialization=False)
    torch.save({"model": spin, "epoch": 1}, files["SPIN"])
    files["safetensors"] = folder / "timm.safetensors"
    save_file({name: values.numpy() for name, values in state.items()}, files["safetensors"])
    return files


def measure(batch: int, rounds: int, seed: int = 0) -> dict:
    """Differences of every layout, and the times of a batch."""
    try:
        import torch
    except ImportError as error:
        raise UserError("torch is not installed: see this module's docstring.") from error
    torch.set_num_threads(os.cpu_count() or 1)
    network = random_network(seed)
    pictures = np.random.default_rng(seed).normal(size=(batch, 224, 224, 3)).astype(np.float32)
    channels_first = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))

    def theirs() -> np.ndarray:
        with torch.inference_mode():
            return network(channels_first).numpy()

    expected, apply = theirs(), jax.jit(ResNet50().apply)
    largest = float(np.abs(expected).max())
    result: dict = {"batch": batch, "largest feature": largest, "layouts": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write_layouts(network.state_dict(), pathlib.Path(folder)).items():
            variables = load_backbone(path)
            difference = float(np.abs(np.asarray(apply(variables, pictures)) - expected).max())
            result["layouts"][name] = {"difference": difference, "relative": difference / largest}
            print_row(name, [difference, difference / largest], decimals=8)
            if not difference < TOLERANCE:
                raise UserError(f"{name}: the features differ by {difference:.1e}.")
    if rounds:
        times = interleaved({"ours": lambda: apply(variables, pictures), "torch": theirs}, rounds)
        result["milliseconds a crop"] = {
            name: {clock: 1e3 * statistics.median(values) / batch for clock, values in clocks.items()}
            for name, clocks in times.items()
        }
        result["times of torch"] = {clock: ratio(times, "ours", "torch", clock) for clock in ("wall", "cpu")}
        for name, clocks in result["milliseconds a crop"].items():
            print_row(f"{name}: ms a crop, wall and CPU", clocks.values())
    return result


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=positive_int, default=8, help="crops (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="of the times; 0: none (default: 3)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    return measure(options.batch, options.rounds)


if __name__ == "__main__":
    main()
