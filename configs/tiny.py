"""A training of a minute on any machine. The tests train it too.

python -m hpof_jax.train --config configs/tiny.py
"""

from ml_collections import ConfigDict

from configs import hpof


def get_config(variant: str = "") -> ConfigDict:
    """`configs/hpof.py`, or a variant of it, with everything small."""
    config = hpof.get_config(variant)
    config.batch_size = 8
    config.clip_length = 16
    config.num_steps = 60
    small = {"channels": 32, "dilations": (1, 3), "hidden": 16}
    if config.optimizer.train_only != "fitting_head":
        small["fit_steps"] = 0  # the head takes longer to compile than all the rest to train
    config.model.update({key: value for key, value in small.items() if key in config.model})
    config.optimizer.warmup_steps = 10
    config.log_every = 10
    config.eval_every = 30
    config.eval_frames = 32
    config.eval_synthetic_clips = 8
    config.checkpoint_every = 20
    return config
