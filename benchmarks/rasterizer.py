"""Speed and memory of the soft rasterizer, against all pairs of pixel and face and against SoftRas.

    python -m benchmarks.rasterizer [--sizes 64 128 224] [--batch 8] [--rounds 9] [--json FILE]

Draws a body of 6,890 vertices in random poses that fill the picture. Times are medians over interleaved
rounds. Memory is what the compiler reports beyond arguments and results. `area`: the pixels above one half,
over those whose centre is covered in a z-buffer.

"all pairs" computes the same silhouette as ours; SoftRas (Liu et al., ICCV 2019; sigma 1e-4 of half a picture
squared) another one. Both visit every pixel and every face, one picture after the other: they are timed on
one picture, and the time is multiplied by `--batch`. Their gradients at more than 64 pixels take minutes:
give `--all` to time them, too.
"""

import argparse
import statistics

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.program import print_row, program
from hpof_jax.body import BodyModel, forward, load_body
from hpof_jax.cli import positive_int
from hpof_jax.geometry import zbuffer
from hpof_jax.geometry.rasterizer import soft_silhouette
from hpof_jax.timing import interleaved

SOFTRAS_CUT = 1e-4  # a face does not count where its probability is below


def all_pairs(points: jax.Array, faces: jax.Array, image_size: tuple[int, int]) -> jax.Array:
    """The shares of each pixel that the front-facing faces cover, summed over the faces.

    Args:
      points: (V, 2) pixels. faces: (F, 3). image_size: (H, W).

    Returns:
      (H, W); clipped at 1, it is `soft_silhouette` without blur.
    """
    corners = jnp.moveaxis(points[faces], 1, 0)  # (3, F, 2)
    (ax, ay), (bx, by), (cx, cy) = (corner.T for corner in corners)
    facing = (bx - ax) * (cy - ay) < (cx - ax) * (by - ay)

    def pixel(place):
        row, column = place
        sides = zip(corners, jnp.roll(corners, -1, axis=0))
        return jnp.sum(jnp.where(facing, sum(_right_of(*side, row, column) for side in sides), 0.0))

    return _by_pixel(pixel, image_size, points.dtype)


def softras(
    points: jax.Array, faces: jax.Array, image_size: tuple[int, int], sigma: float = 1e-4
) -> jax.Array:
    """SoftRas's silhouette 1 - prod(1 - sigmoid(+-d^2 / sigma)), (H, W).

    Args: as of `all_pairs`; sigma in squares of half a picture.
    """
    half = max(image_size) / 2
    corners = points[faces] / half
    starts, steps = corners, jnp.roll(corners, -1, axis=1) - corners
    lengths = jnp.maximum(jnp.sum(steps**2, axis=-1), 1e-12)

    def pixel(place):
        row, column = place
        away = jnp.stack([column + 0.5, row + 0.5]) / half - starts  # (F, 3, 2)
        along = jnp.clip(jnp.sum(away * steps, axis=-1) / lengths, 0.0, 1.0)
        squared = jnp.min(jnp.sum((away - along[..., None] * steps) ** 2, axis=-1), axis=-1)
        side = steps[..., 0] * away[..., 1] - steps[..., 1] * away[..., 0]
        inside = jnp.all(side > 0, axis=-1) | jnp.all(side < 0, axis=-1)
        near = inside | (squared < sigma * np.log(1 / SOFTRAS_CUT - 1))
        signed = jnp.where(inside, squared, -squared) / sigma
        return 1 - jnp.exp(jnp.sum(jnp.where(near, -jax.nn.softplus(signed), 0.0)))

    return _by_pixel(pixel, image_size, points.dtype)


def _right_of(start, end, row, column):
    """The signed area of a pixel between each side (F, 2) -> (F, 2) and the pixel's right border."""
    (x, y), (next_x, next_y) = start.T, end.T
    top, bottom = jnp.clip(y, row, row + 1), jnp.clip(next_y, row, row + 1)
    slope = (next_x - x) / jnp.where(next_y == y, 1.0, next_y - y)
    first, last = (column + 1 - (x + (at - y) * slope) for at in (top, bottom))
    apart = last - first
    level = jnp.abs(apart) < 1e-6
    mean = (_ramp_area(last) - _ramp_area(first)) / jnp.where(level, 1.0, apart)
    return (bottom - top) * jnp.where(level, jnp.clip((first + last) / 2, 0.0, 1.0), mean)


def _ramp_area(x):
    """The integral of clip(x, 0, 1)."""
    inside = jnp.clip(x, 0.0, 1.0)
    return inside * inside / 2 + jnp.maximum(x - 1, 0.0)


def _by_pixel(pixel, image_size, dtype):
    height, width = image_size
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=dtype), jnp.arange(width, dtype=dtype), indexing="ij"
    )
    values = jax.lax.map(jax.checkpoint(pixel), (rows.ravel(), columns.ravel()), batch_size=64)
    return values.reshape(height, width)


def random_points(body: BodyModel, batch: int, side: int, seed: int = 0) -> np.ndarray:
    """Bodies in random poses that fill nine tenths of the picture: (batch, V, 2) pixels."""
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=(batch, 10)).astype(np.float32)
    pose = rng.normal(0, 0.3, (batch, 24, 3)).astype(np.float32)
    pose[:, 0] += np.float32([np.pi, 0, 0])  # upright, facing the camera
    vertices, _ = jax.jit(forward)(body, betas, pose[:, 0], pose[:, 1:])
    flat = np.asarray(vertices)[..., :2]
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    return (side / 2 + (flat - (low + high) / 2) * (0.9 * side / (high - low).max(-1, keepdims=True))).astype(
        np.float32
    )


def measure(body: BodyModel, side: int, batch: int, rounds: int, everything: bool) -> dict:
    size, faces = (side, side), np.asarray(body.faces)
    points = random_points(body, batch, side)
    weights = np.random.default_rng(1).normal(size=(batch, side, side)).astype(np.float32)

    def gradient(draw):
        return jax.jit(jax.grad(lambda points, weights: jnp.sum(weights * draw(points))))

    ours, one_by_one = jax.jit(lambda p: soft_silhouette(p, faces, size)), (points[0], weights[0])
    ways = {"soft_silhouette": lambda: ours(points)}
    backward = gradient(lambda p: soft_silhouette(p, faces, size))
    ways["soft_silhouette, gradient"] = lambda: backward(points, weights)
    for name, draw in (("all pairs", all_pairs), ("SoftRas", softras)):
        drawn = jax.jit(lambda p, draw=draw: draw(p, faces, size))
        ways[name] = lambda drawn=drawn: drawn(points[0])
        if everything or side <= 64:
            slope = gradient(lambda p, draw=draw: draw(p, faces, size))
            ways[f"{name}, gradient"] = lambda slope=slope: slope(*one_by_one)
    result = {"size": side, "batch": batch, "ms": {}, "times_as_long": {}}
    times = interleaved(ways, rounds)
    for way in ways:
        pictures = 1 if "soft_silhouette" in way else batch
        result["ms"][way] = 1e3 * pictures * statistics.median(times[way]["wall"])
        own = "soft_silhouette, gradient" if "gradient" in way else "soft_silhouette"
        result["times_as_long"][way] = timing.ratio(times, way, own) * pictures
    result["mib"] = timing.temporary_mib(lambda p: soft_silhouette(p, faces, size), points)
    result["mib_gradient"] = timing.temporary_mib(backward, points, weights)
    double = points[np.arange(2 * batch) % batch]
    growth = interleaved({"once": ways["soft_silhouette"], "twice": lambda: ours(double)}, rounds)
    result["twice_the_batch"] = timing.ratio(growth, "twice", "once")
    hard = [zbuffer.rasterize(p, np.ones(len(p)), faces, size).mask.sum() for p in points]
    result["area"] = float(np.sum(np.asarray(ours(points)) > 0.5) / np.sum(hard))
    result["softras_area"] = float(
        np.sum(np.asarray(jax.jit(lambda p: softras(p, faces, size))(points[0])) > 0.5) / hard[0]
    )
    return result


def show(result: dict) -> None:
    print_row(f"{result['size']} px, batch {result['batch']}", ("ms", "x ours"))
    for way, milliseconds in result["ms"].items():
        print_row(f"  {way}", (milliseconds, result["times_as_long"][way]), decimals=2)
    print_row("  MiB, MiB with gradient", (result["mib"], result["mib_gradient"]))
    print_row("  time of twice the batch", ("", result["twice_the_batch"]), decimals=2)
    print_row("  area, SoftRas's area", (result["area"], result["softras_area"]), decimals=3)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=positive_int, nargs="+", default=[64, 128, 224], help="pixels")
    parser.add_argument("--batch", type=positive_int, default=8, help="pictures")
    parser.add_argument("--rounds", type=positive_int, default=9)
    parser.add_argument("--all", action="store_true", help="also the gradients that take minutes")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    body, report = load_body(), []
    for side in options.sizes:
        result = measure(body, side, options.batch, options.rounds, options.all)
        report.append(result)
        show(result)
    return report


if __name__ == "__main__":
    main()
