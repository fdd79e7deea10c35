"""Speed of the pmapped training step, where its time goes, and what other encoders would cost.

    python -m benchmarks.train_step --json train_step.json
    python -m benchmarks.train_step --config configs/tiny.py --rounds 9
    python -m benchmarks.train_step --config configs/hpof.py:vibe_size
    python -m benchmarks.train_step --outline --batch-size 8 --clip-length 16

All ways take turns in one process. Beside the wall clock stands process time (all threads), which other programs on
the machine do not touch; the ratios are of process time on a CPU and of the wall clock on an accelerator.
"""

import argparse
import runpy
import statistics
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks import timing
from benchmarks.program import positive, program
from data_pipelines import stream
from hpof_jax.body import load_body
from hpof_jax.body.coarse import decimate
from hpof_jax.errors import UserError
from hpof_jax.models.build import init_params, make_model
from hpof_jax.models.hpof import HPOF
from hpof_jax.training import parallel, state, steps
from hpof_jax.training.terms import OUTLINE_LOSSES, loss_terms


class Recurrent(nn.Module):
    """The encoder of VIBE (Kocabas et al. 2020), in both directions: GRUs of 1024, on our features."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        return nn.Bidirectional(nn.RNN(nn.GRUCell(1024)), nn.RNN(nn.GRUCell(1024)))(features)


def training_batch(config: ConfigDict) -> dict[str, np.ndarray]:
    """One batch of synthetic motion with everything that the config's losses ask for."""
    options = stream.StreamOptions(
        config.batch_size,
        config.clip_length,
        config.seed,
        flow=config.data.flow,
        flow_frames=config.data.flow_frames,
        real_motion="adversarial" in config.losses,
    )
    return stream.batch_maker({"synthetic": 1.0}, options)(0)


def training(
    config: ConfigDict, batch: dict[str, np.ndarray], body, losses: dict[str, float] | None = None
) -> Callable[[], object]:
    """One call, one step of training on every local device; `losses` instead of the config's."""
    losses = config.losses.to_dict() if losses is None else losses
    model = make_model(config.model)
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
        )
    )
    now = {"state": parallel.replicate(state.init_state(model, body, optimizer, config.seed, adversary))}
    shares = jax.device_put(parallel.cut(batch))  # training does so while the step before is under way

    def act():
        now["state"], logs = step(now["state"], shares)
        return logs

    return act


def parts(config: ConfigDict, batch: dict[str, np.ndarray], body) -> dict[str, Callable[[], object]]:
    """The step, piece by piece and on one device: each way does what the one before it does and something more."""
    model = make_model(config.model)
    weights = {name: weight for name, weight in config.losses.items() if name != "adversarial"}
    outline = decimate(body) if OUTLINE_LOSSES & set(weights) else None
    params = init_params(model, body, config.seed)
    batch = jax.device_put(batch)
    inputs = jax.jit(steps.batch_inputs)(batch)

    def predict(params):
        return model.apply({"params": params}, inputs, body)

    def loss(params):
        terms = loss_terms(body, inputs, predict(params), batch, weights, outline)
        return sum(weights[name] * value / jnp.maximum(count, 1.0) for name, (value, count) in terms.items())

    def encode(params):
        return model.apply({"params": params}, inputs.features, inputs.mask, method=HPOF.encode)

    recurrent = Recurrent()
    recurrent_params = jax.jit(recurrent.init)(jax.random.key(0), inputs.features[:1, :2])

    def recur(params):
        return recurrent.apply(params, inputs.features)

    # Arguments, not constants: XLA would otherwise be free to compute what depends on constants alone.
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
    losses = config.losses.to_dict()
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
    times = timing.interleaved(ways | parts(config, batch, body), rounds)
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    wall, cpu = ({way: statistics.median(time[c]) for way, time in times.items()} for c in ("wall", "cpu"))
    took = {"wall": wall, "cpu": cpu}[clock]
    steps_ = ("encoder", "encoder and heads", "with losses", "with gradient")
    increments = np.diff([0.0, *(took[way] for way in steps_)])
    shares = dict(zip(("encoder", "heads", "losses", "backward"), (increments / took["train step"]).tolist()))
    if jax.local_device_count() == 1:
        shares["optimizer, average, adversary"] = 1.0 - sum(shares.values())
    for part in optional:
        shares[f"{part}, all in all"] = 1.0 - took[f"train step without {part}"] / took["train step"]
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.local_device_count(),
        "batch": [config.batch_size, config.clip_length],
        "clock": clock,
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
    """What the losses on outline and motion cost, on all consecutive frames, over the step without them."""
    body, clips, frames = load_body(), config.batch_size, config.clip_length
    options = stream.StreamOptions(clips, frames, flow="exact", flow_frames=frames)
    batch = stream.batch_maker({"synthetic": 1.0}, options)(0)
    rest = {name: weight for name, weight in config.losses.items() if name not in OUTLINE_LOSSES}
    ways = {"without": training(config, batch, body, rest)}
    for name in sorted(OUTLINE_LOSSES):
        ways[name] = training(config, batch, body, rest | {name: 1.0})
    ways["all of them"] = training(config, batch, body, rest | dict.fromkeys(OUTLINE_LOSSES, 1.0))
    times = timing.interleaved(ways, rounds)
    milliseconds = {way: 1e3 * statistics.median(times[way]["wall"]) for way in ways}
    costs = {way: timing.ratio(times, way, "without") - 1.0 for way in ways}
    return {"batch": [clips, frames], "milliseconds": milliseconds, "cost_over_the_rest": costs}


def show_outline(result: dict) -> None:
    print("{} clips of {} frames, 64 x 64 pixels".format(*result["batch"]))
    for way, took in result["milliseconds"].items():
        print(f"{way:20}{took:8.1f} ms   {result['cost_over_the_rest'][way]:+.2f} x the step without")


def show(result: dict) -> None:
    print(
        f"{result['batch'][0]} clips of {result['batch'][1]} frames, {result['devices']} x {result['device']}"
    )
    print(f"{'':32}{'frames/s':>10}{'frames/CPU s':>14}")
    for way, rate in result["frames_per_second"].items():
        print(f"{way:32}{rate:10,.0f}{result['frames_per_cpu_second'][way]:14,.0f}")
    for part, share in result["share_of_the_train_step"].items():
        print(f"  {part:30}{100 * share:8.0f} % of the train step")
    print(f"the train step takes {result['milliseconds_per_frame']:.2f} ms a frame")
    print(f"the train step takes {result['train_step_over_per_frame_mlp']:.2f} x that of the per-frame MLP")
    print(f"a GRU encoder would take {result['gru_over_encoder']:.1f} x the time of ours")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="configs/hpof.py", help="the config file, with its variant")
    parser.add_argument("--batch-size", type=int, help="clips, instead of the config's")
    parser.add_argument("--clip-length", type=int, help="frames of a clip, instead of the config's")
    parser.add_argument("--outline", action="store_true", help="the cost of the losses on outline and motion")
    parser.add_argument("--rounds", type=positive, default=5)


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
    act, tell = (measure_outline, show_outline) if options.outline else (measure, show)
    result = act(config, options.rounds)
    tell(result)
    return result


def load_config(path: str) -> ConfigDict:
    """The config of a file, `configs/hpof.py:mlp` included."""
    file, _, variant = path.partition(":")
    try:
        get_config = runpy.run_path(file)["get_config"]
        return get_config(variant) if variant else get_config()
    except (OSError, ValueError, SyntaxError, KeyError) as error:
        raise UserError(
            f"The config {path} cannot be read: {error} (give one like configs/hpof.py)."
        ) from error


if __name__ == "__main__":
    main()
