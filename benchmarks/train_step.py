"""Speed of the pmapped training step, the share of each of its parts, and the cost of other encoders.

    python -m benchmarks.train_step --json train_step.json
    python -m benchmarks.train_step --config configs/tiny.py --rounds 9
    python -m benchmarks.train_step --config configs/hpof.py:vibe_size
    python -m benchmarks.train_step --outline --batch-size 8 --clip-length 16
    python -m benchmarks.train_step --memory --config configs/hpof.py:no_flow --batch-size 16

The steps take turns in one process. Frames per second are by the wall clock; frames per CPU second are by the
CPU time of this process, all threads together, which other programs on the machine hardly change. Ratios and
shares are of CPU time on a CPU and of the wall clock on an accelerator. `--outline` measures instead what the
losses on silhouettes and flow cost, on all consecutive frames. `--memory` measures the options that save memory.
"""

import argparse
import statistics
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks import timing
from benchmarks.program import print_row, program
from data_pipelines import stream
from hpof_jax.body import BodyModel, load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.cli import positive_int
from hpof_jax.config_files import load_config
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.hpof import HPOF
from hpof_jax.timing import interleaved
from hpof_jax.training import parallel, state, steps
from hpof_jax.training.terms import OUTLINE_LOSSES, loss_terms


class Recurrent(nn.Module):
    """A bidirectional GRU of VIBE's width (Kocabas et al., CVPR 2020), on our features."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        return nn.Bidirectional(nn.RNN(nn.GRUCell(1024)), nn.RNN(nn.GRUCell(1024)))(features)


def full_weights(config: ConfigDict) -> dict[str, float]:
    """The losses that the config computes once every ramp is over."""
    return {name: weight for name, weight in config.losses.items() if weight}


def training_batch(config: ConfigDict) -> dict[str, np.ndarray]:
    """One batch of synthetic motion with everything that the config's losses need."""
    options = stream.StreamOptions(
        config.batch_size,
        config.clip_length,
        config.seed,
        flow=config.data.flow,
        flow_frames=config.data.flow_frames,
        real_motion="adversarial" in full_weights(config),
    )
    return stream.batch_maker({"synthetic": 1.0}, options)(0)


def training(
    config: ConfigDict, batch: dict[str, np.ndarray], body: BodyModel, losses: dict[str, float] | None = None
) -> Callable[[], object]:
    """A function that makes one training step on all local devices.

    Args:
      losses: name -> weight, in place of the config's.
    """
    step, train_state, shares = prepare(config, batch, body, losses)
    now = {"state": train_state}

    def one_step():
        now["state"], logs = step(now["state"], shares)
        return logs

    return one_step


def prepare(
    config: ConfigDict, batch: dict[str, np.ndarray], body: BodyModel, losses: dict[str, float] | None = None
) -> tuple[Callable, state.TrainState, dict[str, jax.Array]]:
    """The pmapped step, its state and its batch; see `training`."""
    losses = full_weights(config) if losses is None else losses
    model = make_model(config.model, config.precision)
    optimizer = state.make_optimizer(config.optimizer, config.num_steps)
    adversary = state.make_adversary(config) if "adversarial" in losses else None
    step = parallel.pmap_step(
        steps.make_train_step(
            model,
            body,
            optimizer,
            losses,
            seed=config.seed,
            ema_decay=config.optimizer.ema_decay,
            hide_3d=config.data.hide_3d,
            axis_name=parallel.AXIS,
            outline=decimate(body) if OUTLINE_LOSSES & set(losses) else None,
            adversary=adversary,
            accumulate=config.accumulate,
            remat=config.remat,
        )
    )
    first = parallel.replicate(state.init_state(model, body, optimizer, config.seed, adversary))
    return step, first, parallel.place(parallel.cut(batch))


def parts(
    config: ConfigDict, batch: dict[str, np.ndarray], body: BodyModel
) -> dict[str, Callable[[], object]]:
    """Parts of the step on one device: each of the first four does what the one before it does, and more."""
    model = make_model(config.model)
    loss_weights = {name: weight for name, weight in full_weights(config).items() if name != "adversarial"}
    outline = decimate(body) if OUTLINE_LOSSES & set(loss_weights) else None
    params = init_params(model, body, config.seed)
    batch = jax.device_put(batch)
    inputs = jax.jit(steps.batch_inputs)(batch)

    def predict(params):
        return model.apply({"params": params}, inputs, body)

    def loss(params):
        terms = loss_terms(body, inputs, predict(params), batch, loss_weights, outline)
        return sum(loss_weights[name] * total / jnp.maximum(n, 1.0) for name, (total, n) in terms.items())

    def encode(params):
        return model.apply({"params": params}, inputs.features, inputs.mask, method=HPOF.encode)

    recurrent = Recurrent()
    recurrent_params = jax.jit(recurrent.init)(jax.random.key(0), inputs.features[:1, :2])

    def recur(params):
        return recurrent.apply(params, inputs.features)

    # The parameters are arguments: XLA may compute at compile time what depends on constants alone.
    ways = {
        "encoder": encode,
        "encoder and heads": predict,
        "with losses": loss,
        "with gradient": jax.grad(loss),
    }
    ways = {name: (jax.jit(way), params) for name, way in ways.items()}
    ways["encoder, forward and back"] = (jax.jit(jax.grad(lambda p: jnp.sum(encode(p) ** 2))), params)
    ways["GRU, forward and back"] = (jax.jit(jax.grad(lambda p: jnp.sum(recur(p) ** 2))), recurrent_params)
    return {name: (lambda f=f, p=p: f(p)) for name, (f, p) in ways.items()}


def measure(config: ConfigDict, rounds: int) -> dict:
    body = load_body()
    frames = config.batch_size * config.clip_length
    parallel.local_batch_size(config.batch_size)
    losses = full_weights(config)
    batch = training_batch(config)
    mlp = config.copy_and_resolve_references()
    mlp.model.update({"kernel_size": 1})
    ways = {
        "train step": training(config, batch, body),
        "train step, per-frame MLP": training(mlp, batch, body),
    }
    optional = {"flow and silhouettes": OUTLINE_LOSSES, "adversary": {"adversarial"}}
    optional = {part: names for part, names in optional.items() if names & set(losses)}
    for part, names in optional.items():
        rest = {name: weight for name, weight in losses.items() if name not in names}
        ways[f"train step without {part}"] = training(config, batch, body, rest)
    if len(optional) > 1:
        names = set().union(*optional.values())
        rest = {name: weight for name, weight in losses.items() if name not in names}
        ways["train step without both"] = training(config, batch, body, rest)
    times = interleaved(ways | parts(config, batch, body), rounds)
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    wall, cpu = ({way: statistics.median(time[c]) for way, time in times.items()} for c in ("wall", "cpu"))
    took = {"wall": wall, "cpu": cpu}[clock]
    cumulative = ("encoder", "encoder and heads", "with losses", "with gradient")
    increments = np.diff([0.0, *(took[way] for way in cumulative)])
    shares = dict(zip(("encoder", "heads", "losses", "backward"), (increments / took["train step"]).tolist()))
    if jax.local_device_count() == 1:
        shares["optimizer, average, adversary"] = 1.0 - sum(shares.values())
    for part in optional:
        shares[f"{part}, forward and back"] = 1.0 - took[f"train step without {part}"] / took["train step"]
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.local_device_count(),
        "batch": [config.batch_size, config.clip_length],
        "clock": clock,
        "milliseconds_per_step": {way: 1e3 * second for way, second in wall.items() if "train step" in way},
        "milliseconds_per_frame": 1e3 * wall["train step"] / frames,
        "frames_per_second": {way: frames / second for way, second in wall.items()},
        "frames_per_cpu_second": {way: frames / second for way, second in cpu.items()},
        "share_of_the_train_step": shares,
        "train_step_over_per_frame_mlp": timing.ratio(
            times, "train step", "train step, per-frame MLP", clock
        ),
        "gru_over_encoder": timing.ratio(times, "GRU, forward and back", "encoder, forward and back", clock),
    }


def measure_outline(config: ConfigDict, rounds: int) -> dict:
    """The cost of the losses on silhouettes and flow, on all consecutive frames, over the step without."""
    body, clips, frames = load_body(), config.batch_size, config.clip_length
    options = stream.StreamOptions(clips, frames, flow="exact", flow_frames=frames)
    batch = stream.batch_maker({"synthetic": 1.0}, options)(0)
    others = OUTLINE_LOSSES | {"adversarial"}
    rest = {name: weight for name, weight in full_weights(config).items() if name not in others}
    ways = {"without": training(config, batch, body, rest)}
    for name in sorted(OUTLINE_LOSSES):
        ways[name] = training(config, batch, body, rest | {name: 1.0})
    ways["all of them"] = training(config, batch, body, rest | dict.fromkeys(OUTLINE_LOSSES, 1.0))
    times = interleaved(ways, rounds)
    milliseconds = {way: 1e3 * statistics.median(times[way]["wall"]) for way in ways}
    costs = {way: timing.ratio(times, way, "without") - 1.0 for way in ways}
    return {"batch": [clips, frames], "milliseconds": milliseconds, "cost_over_the_rest": costs}


def measure_memory(config: ConfigDict, rounds: int) -> dict:
    """Time and temporary memory of the step with each option that changes precision or saves memory."""
    body, batch = load_body(), training_batch(config)
    changes = {
        "float32": {},
        "precision=bf16": {"precision": "bf16"},
        "remat=True": {"remat": True},
        "accumulate=4": {"accumulate": 4},
        "accumulate=4, remat=True": {"accumulate": 4, "remat": True},
    }
    ways, memory = {}, {}
    for name, change in changes.items():
        changed = config.copy_and_resolve_references()
        changed.update(change)
        step, first, shares = prepare(changed, batch, body)
        compiled = step.lower(first, shares).compile()
        memory[name] = compiled.memory_analysis().temp_size_in_bytes / 1e6
        now = {"state": first}

        def one_step(compiled=compiled, now=now, shares=shares):
            now["state"], logs = compiled(now["state"], shares)
            return logs

        ways[name] = one_step
    times = interleaved(ways, rounds)
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.local_device_count(),
        "batch": [config.batch_size, config.clip_length],
        "clock": clock,
        "milliseconds_per_step": {name: 1e3 * statistics.median(times[name][clock]) for name in ways},
        "time_over_float32": {name: timing.ratio(times, name, "float32", clock) for name in ways},
        "temporary_megabytes": memory,
    }


def show_memory(result: dict) -> None:
    print("{} clips of {} frames, {} x {}".format(*result["batch"], result["devices"], result["device"]))
    print_row("", (f"ms ({result['clock']})", "time", "MB"))
    for name, milliseconds in result["milliseconds_per_step"].items():
        ratio = f"{result['time_over_float32'][name]:.2f} x"
        print_row(name, (milliseconds, ratio, result["temporary_megabytes"][name]), decimals=0)


def show_outline(result: dict) -> None:
    print("{} clips of {} frames, 64 x 64 pixels".format(*result["batch"]))
    print_row("losses on outline and flow", ("ms", "added cost"))
    for way, milliseconds in result["milliseconds"].items():
        print_row(f"  {way}", (milliseconds, f"{result['cost_over_the_rest'][way]:+.2f} x"))


def show(result: dict) -> None:
    print(
        f"{result['batch'][0]} clips of {result['batch'][1]} frames, {result['devices']} x {result['device']}"
    )
    print_row("", ("frames/s", "frames/CPU s", "ms/step"), width=14)
    for way, rate in result["frames_per_second"].items():
        cells = (rate, result["frames_per_cpu_second"][way], result["milliseconds_per_step"].get(way))
        print_row(way, cells[: 2 + (cells[2] is not None)], decimals=0, width=14)
    print_row("share of the train step", ("%",))
    for part, share in result["share_of_the_train_step"].items():
        print_row(f"  {part}", [100 * share], decimals=0)
    print(f"train step: {result['milliseconds_per_frame']:.2f} ms a frame")
    print(f"train step over that of the per-frame MLP: {result['train_step_over_per_frame_mlp']:.2f}")
    print(f"GRU over our encoder, forward and back: {result['gru_over_encoder']:.1f}")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="configs/hpof.py", help="the config file, with its variant")
    parser.add_argument("--batch-size", type=positive_int, help="clips (the config's)")
    parser.add_argument("--clip-length", type=positive_int, help="frames of a clip (the config's)")
    parser.add_argument(
        "--outline", action="store_true", help="the cost of the losses on silhouettes and flow"
    )
    parser.add_argument("--memory", action="store_true", help="time and memory of bf16, remat and accumulate")
    parser.add_argument("--rounds", type=positive_int, default=5)


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    config = load_config(options.config)
    if options.batch_size:
        config.batch_size = options.batch_size
    if options.clip_length:
        config.clip_length = options.clip_length
    if config.model.name != "hpof":
        raise UserError(
            f"The parts of '{config.model.name}' are not known: give a config of the model 'hpof'."
        )
    if options.memory:
        result = measure_memory(config, options.rounds)
        show_memory(result)
    elif options.outline:
        result = measure_outline(config, options.rounds)
        show_outline(result)
    else:
        result = measure(config, options.rounds)
        show(result)
    return result


if __name__ == "__main__":
    main()
