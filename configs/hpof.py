"""The default training: synthetic motion and a simulated detector, no data set on disk.

    python -m hpof_jax.train --config configs/hpof.py
    python -m hpof_jax.train --config configs/hpof.py --config.data.bvh=FOLDER_OR_ZIP   # adds your own motion capture

Variants come after a colon, `configs/hpof.py:mlp`: the same training with one part changed or, as `:flow`, added.
"""

from ml_collections import ConfigDict

FLOW_LOSSES = {"flow_silhouette": 1.0, "silhouette": 0.3, "vertex_flow": 0.03}
FULL = {"data": {"flow": "noisy"}, "losses": {**FLOW_LOSSES, "adversarial": 0.02}}
ABLATION_STEPS = 1_000
VARIANTS = {
    "": {},
    "flow": {"data": {"flow": "noisy"}, "losses": FLOW_LOSSES},
    "adversarial": {"losses": {"adversarial": 0.02}},
    "full": FULL,  # every part of the method
    # The whole method at a budget that two CPU cores manage, with labels on a part of the data: see hpof_jax.ablate.
    "ablation": FULL
    | {
        "batch_size": 8,
        "clip_length": 64,
        "num_steps": ABLATION_STEPS,
        "data": FULL["data"] | {"unlabelled": "synthetic"},
        "optimizer": {"warmup_steps": ABLATION_STEPS // 10},
        "adversary": {"ramp": (ABLATION_STEPS // 10, ABLATION_STEPS // 4)},
        "checkpoint_every": 100,
        "eval_every": 0,  # the ablation measures for itself
    },
    # The batch of VIBE's training, and an encoder of as many parameters as its GRU of 2048: to compare speeds.
    "vibe_size": FULL | {"batch_size": 32, "clip_length": 16, "model": {"channels": 1280}},
    "mlp": {"model": {"kernel_size": 1, "dilations": (1, 1, 1, 1)}},  # per frame: no context but the shape's
    "mean_pose": {
        "model": ConfigDict({"name": "mean_pose", "channels": 256})
    },  # one pose for all, placed by an MLP
}


def get_config(variant: str = "") -> ConfigDict:
    """The config; every key can be set on the command line as `--config.KEY=VALUE`."""
    config = ConfigDict()
    config.seed = 0
    config.batch_size = 64  # clips, over all devices
    config.clip_length = 81  # frames at 30 fps
    config.num_steps = 20_000
    config.initial_weights = ""  # weights to go on from: a .npz, another run's folder, or "shipped"

    config.model = ConfigDict(
        {
            "name": "hpof",
            "channels": 256,
            "kernel_size": 3,
            "dilations": (1, 3, 9, 27),
            "dropout": 0.0,  # it makes features tremble, which `smoothness` then answers by heeding them less
            "hidden": 64,
            "encoder_type": "dilated",  # or "gru", of about as many parameters, without kernel and dilations
            "head_type": "tree",  # or "flat": all joints at once
            "shape_per": "clip",  # or "frame": no shape before the pose
        }
    )
    # Motion: the weight of each source in the mixture. An empty path leaves a source out.
    config.data = ConfigDict(
        {
            "synthetic": 1.0,  # weight of procedural motion
            "bvh": "",  # comma-separated folders or zips of BVH files
            "amass": "",  # comma-separated folders of AMASS .npz files
            "tfds": "",  # comma-separated folders written by hpof_jax.data records
            "mocap_share": 3.0,  # weight of all of these together
            "rendered": "",  # comma-separated folders made by hpof_jax.data render
            "rendered_share": 4.0,  # weight of all of these together
            "unlabelled": "",  # comma-separated sources whose truth is hidden: "bvh:FOLDER", "rendered:FOLDER", "synthetic"
            "unlabelled_share": 1.0,  # weight of all of these together
            "videos": "",  # comma-separated folders of real videos, or single ones
            "videos_share": 1.0,  # weight of all of these together
            "hide_3d": 0.3,  # share of the clips whose detector gives no 3D landmarks
            "flow": "none",  # "exact" or "noisy" (like DIS) optical flow and masks, for the losses on outline and motion
            "flow_frames": 8,  # of each clip, which these losses look at
        }
    )
    # A loss that is not named is not computed.
    config.losses = ConfigDict(
        {"keypoints_2d": 1.0, "keypoints_3d": 10.0, "body_pose": 0.5, "betas": 0.2, "smoothness": 10.0}
    )
    config.optimizer = ConfigDict(
        {
            "learning_rate": 1e-3,
            "warmup_steps": 500,
            "weight_decay": 0.01,
            "clip_norm": 1.0,
            "ema_decay": 0.999,
        }
    )
    # The discriminator, where losses.adversarial is named.
    config.adversary = ConfigDict(
        {
            "channels": 128,
            "ramp": (1_000, 3_000),  # steps between which the weight of the loss rises from 0 to its own
            "optimizer": {
                "learning_rate": 1e-4,
                "warmup_steps": 500,
                "weight_decay": 1e-4,
                "clip_norm": 1.0,
            },
        }
    )
    config.log_every = 50
    config.eval_every = 1_000  # steps, and at the end; 0: never
    config.eval_frames = 162  # of each validation clip, while training
    config.eval_synthetic_clips = 32
    config.checkpoint_every = 500
    config.keep_checkpoints = 3

    if variant not in VARIANTS:
        raise ValueError(
            f"There is no variant '{variant}' of configs/hpof.py: choose one of {sorted(VARIANTS)}."
        )
    for key, change in VARIANTS[variant].items():
        if isinstance(change, ConfigDict):
            config[key] = change.copy_and_resolve_references()
        elif isinstance(change, dict):
            config[key].update(change)
        else:
            config[key] = change
    return config
