"""The adversarial prior: a discriminator, its optimizer, and the losses of both networks.

LSGAN (Mao et al., ICCV 2017): the discriminator's target is 1 for real and 0 for predicted motion, the
generator's is 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hpof_jax.models.discriminator import EVERY, Discriminator, Scores
from hpof_jax.models.hpof import Prediction
from hpof_jax.training.losses import masked_sum

Terms = dict[str, tuple[jax.Array, jax.Array]]


class Adversary(NamedTuple):
    """What adversarial training needs besides parameters."""

    discriminator: Discriminator
    optimizer: optax.GradientTransformation

    def scores(self, params: Any, rotations: jax.Array, betas: jax.Array, mask: jax.Array) -> Scores:
        return self.discriminator.apply({"params": params}, rotations, betas, mask)

    def generator_terms(self, params: Any, prediction: Prediction, mask: jax.Array) -> Terms:
        """The generator's squared error of each head's score: head -> (sum, count)."""
        scores = self.scores(params, prediction.rotations, prediction.clip_betas(mask), mask)
        return {
            head: masked_sum(jnp.square(score - 1.0), valid) for head, score, valid in _heads(scores, mask)
        }

    def discriminator_terms(
        self,
        params: Any,
        prediction: Prediction,
        mask: jax.Array,
        real_rotations: jax.Array,
        real_betas: jax.Array,
    ) -> tuple[Terms, Terms]:
        """The discriminator's losses and accuracies (0 to 1), of each head, on predicted and on real clips.

        Args:
          params: the discriminator's.
          prediction: the generator's; no gradient reaches it.
          mask: (B, T) of the predicted clips. real_rotations: (B, T, 24, 3, 3). real_betas: (B, 10).

        Returns:
          Two dicts with the keys HEAD_fake and HEAD_real, each value a (sum, count).
        """
        fake = jax.lax.stop_gradient(prediction)
        # Two calls, not one of both: the compiler then reuses the generator's scores of the predictions.
        fakes = self.scores(params, fake.rotations, fake.clip_betas(mask), mask)
        everywhere = jnp.ones_like(mask)
        reals = self.scores(params, real_rotations, real_betas, everywhere)
        real = {head: values for head, *values in _heads(reals, everywhere)}
        loss, accuracy = {}, {}
        for head, score, valid in _heads(fakes, mask):
            real_score, real_valid = real[head]
            loss[f"{head}_fake"] = masked_sum(jnp.square(score), valid)
            loss[f"{head}_real"] = masked_sum(jnp.square(real_score - 1.0), real_valid)
            accuracy[f"{head}_fake"] = masked_sum((score < 0.5).astype(score.dtype), valid)
            accuracy[f"{head}_real"] = masked_sum((real_score > 0.5).astype(score.dtype), real_valid)
        return loss, accuracy


def _heads(scores, mask):
    """(name, scores, where they count) of each head. A clip counts if it has a frame in the mask."""
    clip, frame = jnp.any(mask, axis=1), mask[:, ::EVERY]
    yield "motion", scores.motion, clip
    yield "joints", scores.joints, frame[..., None] & jnp.ones_like(scores.joints, bool)
    yield "body", scores.body, frame
    yield "shape", scores.shape, clip
