"""HPOF: the default training, and the trainings that were measured, as variants `configs/hpof.py:VARIANT`.

The default trains every part of the method in one run: encoder, shape before pose, the kinematic tree, and the
adversary from the first step on; silhouettes, warped silhouettes and vertex flow for its last 40 %. It needs no
data on disk: procedural motion, seen by a simulated camera and a simulated detector.

    python -m hpof_jax.train --config configs/hpof.py
    python -m hpof_jax.train --config configs/hpof.py --config.data.bvh=FOLDER_OR_ZIP  # and motion capture

`:shipped` and `:shipped_finish` are the training of the weights in `hpof_jax/assets/hpof.npz`, from scratch,
in two runs. The second run starts from the first one's weights, with a new learning rate schedule:

    python -m hpof_jax.train --config configs/hpof.py:shipped --workdir runs/shipped
    python -m hpof_jax.train --config configs/hpof.py:shipped_finish --workdir runs/shipped_finish

The result is `runs/shipped_finish/weights.npz`. Hardware: two shared CPU cores. Time: 100 and 25 minutes.

| mm | rendered, full | rendered, heavy | simulated | real, full | real, heavy |
|---|---|---|---|---|---|
| after `:shipped` | 91.6 | 84.2 | 53.3 | 73.1 | 70.5 |
| after `:shipped_finish` | 90.4 | 82.6 | 51.9 | 72.2 | 70.6 |

PA-MPJPE of the limbs on rendered validation clips (`hpof_jax.evaluate --data rendered:rendered/full,...`), of
24 joints on validation motion with the simulated detector, of the limbs on four real cameras
(`benchmarks.real_views`; the assumed focal length was the frame's diagonal, which is no longer the default). One
seed was trained. The simulated cameras of these runs had other focal lengths than today's.

The data lie in the folder where the commands are run. Motion capture, BVH files in `recordings/`: `bandai`
(Bandai Namco Research Motiondataset 1 and 2), `cmu` (48 clips of the CMU database), `cmu_expmap` (32 clips of
it, converted from exponential maps), `deepmimic` and `deepmimic_sie` (DeepMimic's own clips, and those of
Sony Interactive Entertainment). Rendered clips in `rendered/`, about an hour of work for two cores:

    MOTION="--motion synthetic --motion bvh:recordings/bandai --motion bvh:recordings/cmu
            --motion bvh:recordings/cmu_expmap --motion bvh:recordings/deepmimic
            --motion bvh:recordings/deepmimic_sie"
    RENDER="python -m hpof_jax.data render --processes 2 $MOTION"
    $RENDER --out rendered/full --frames 56040                                           # 467 clips
    $RENDER --out rendered/heavy --frames 29280 --landmark-model heavy                   # 244 clips
    $RENDER --out rendered/full60 --frames 20820 --clip-frames 60                        # 347 clips
    $RENDER --out rendered/heavy60 --frames 9540 --clip-frames 60 --landmark-model heavy # 159 clips

The original clips cannot be made again exactly: those of 120 frames have an earlier version of the looks,
those of 60 frames the third.
"""

from ml_collections import ConfigDict

FLOW_LOSSES = {"flow_silhouette": 1.0, "silhouette": 0.3, "vertex_flow": 0.03}
BASE_LOSSES = {
    "keypoints_2d": 1.0, "keypoints_3d": 10.0, "body_pose": 0.5, "betas": 0.2, "smoothness": 10.0
}  # fmt: skip
# Keypoints, pose, betas and smoothness alone. A ConfigDict replaces the one of the default, a dict changes it.
BASE = {"data": {"flow": "none"}, "losses": ConfigDict(BASE_LOSSES), "ramps": ConfigDict()}
ABLATION_STEPS = 1_000
SHIPPED = BASE | {
    "batch_size": 32,
    "num_steps": 7_000,
    "data": BASE["data"]
    | {
        "synthetic": 0.5,
        "bvh": ",".join(
            f"recordings/{name}" for name in ("bandai", "cmu", "cmu_expmap", "deepmimic", "deepmimic_sie")
        ),
        "mocap_share": 2.0,
        # The long clips are named twice, for two parts of `rendered_share` each.
        "rendered": ",".join(
            f"rendered/{name}" for name in ("full", "heavy", "full", "heavy", "full60", "heavy60")
        ),
        "rendered_share": 4.0,
    },
}
VARIANTS = {
    "": {},
    # One thing less, named as in hpof_jax.ablate. The others are keys of config.model.
    "no_flow": {"losses": dict.fromkeys(FLOW_LOSSES, 0.0)},
    "no_adversary": {"losses": {"adversarial": 0.0}},
    "shipped": SHIPPED,
    "shipped_finish": SHIPPED
    | {
        "initial_weights": "runs/shipped",
        "num_steps": 3_000,
        "optimizer": {"learning_rate": 6e-4, "warmup_steps": 100},
        "eval_every": 0,  # without scores, `weights.npz` is of the last step, as shipped
    },
    # A fitting head on the shipped weights, which stay as they are: docs/results.md says what it gains and loses.
    "fit": BASE
    | {
        "initial_weights": "shipped",
        "batch_size": 8,
        "clip_length": 64,
        "num_steps": 300,
        "model": {"fit_steps": 2},
        "data": BASE["data"] | {"mocap_share": 4.0},
        "losses": ConfigDict({name: weight for name, weight in BASE_LOSSES.items() if name != "betas"}),
        "optimizer": {
            "learning_rate": 3e-3,
            "warmup_steps": 20,
            "weight_decay": 0.0,
            "ema_decay": 0.95,
            "train_only": "fitting_head",
        },
        "checkpoint_every": 100,
        "eval_every": 0,
    },
    # For hpof_jax.ablate: the whole method at a budget for two CPU cores, with labels on a part of the data,
    # and with the flow losses from the start.
    "ablation": {
        "batch_size": 8,
        "clip_length": 64,
        "num_steps": ABLATION_STEPS,
        "data": {"unlabelled": "synthetic"},
        "ramps": {**dict.fromkeys(FLOW_LOSSES, (0.0, 0.0)), "adversarial": (0.1, 0.25)},
        "optimizer": {"warmup_steps": ABLATION_STEPS // 10},
        "checkpoint_every": 100,
        "eval_every": 0,  # the ablation evaluates each run at its end
    },
    # For comparisons of speed: VIBE's batch, and an encoder of as many parameters as its GRU of 2048 units.
    "vibe_size": {"batch_size": 32, "clip_length": 16, "model": {"channels": 1280}},
    # Per frame, but for the clip's shape.
    "mlp": BASE | {"model": {"kernel_size": 1, "dilations": (1, 1, 1, 1)}},
    # One pose for all frames, placed by an MLP.
    "mean_pose": BASE | {"model": ConfigDict({"name": "mean_pose", "channels": 256})},
}


def get_config(variant: str = "") -> ConfigDict:
    """The config of a variant; `--config.KEY=VALUE` on the command line sets any key.

    Raises:
      ValueError: no such variant.
    """
    config = ConfigDict()
    config.seed = 0
    config.batch_size = 64  # clips, over all devices
    config.clip_length = 81  # frames at 30 frames/s
    config.num_steps = 20_000
    config.initial_weights = ""  # a weights .npz, a training run's folder, or "shipped"; empty: random

    config.model = ConfigDict(
        {
            "name": "hpof",
            "channels": 256,
            "kernel_size": 3,
            "dilations": (1, 3, 9, 27),
            "dropout": 0.0,  # its noise makes the smoothness loss suppress the input
            "hidden": 64,
            "encoder_type": "dilated",  # or "gru", with about as many parameters
            "head_type": "tree",  # or "flat": all joints at once
            "shape_per": "clip",  # or "frame": no shape before the pose
            "fit_steps": 0,  # Gauss-Newton steps of the fitting head towards the observed landmarks; 0: none
        }
    )
    # Data sources and their relative shares of a batch. An empty path leaves a source out; a path that is
    # named twice counts twice.
    config.data = ConfigDict(
        {
            "synthetic": 1.0,  # share of procedural motion
            "bvh": "",  # comma-separated folders or zips of BVH files
            "amass": "",  # comma-separated folders of AMASS .npz files
            "tfds": "",  # comma-separated folders written by hpof_jax.data records
            "mocap_share": 3.0,  # of bvh, amass and tfds together
            "rendered": "",  # comma-separated folders written by hpof_jax.data render
            "rendered_share": 4.0,
            "unlabelled": "",  # comma-separated sources whose ground truth is withheld, such as "bvh:PATH"
            "unlabelled_share": 1.0,
            "videos": "",  # comma-separated videos, or folders of them
            "videos_share": 1.0,
            "hide_3d": 0.3,  # share of clips whose 3D landmarks are hidden from the model
            # Optical flow and masks, made while a loss needs them: "none", "exact", or "noisy" with errors like
            # DIS flow's.
            "flow": "noisy",
            "flow_frames": 8,  # how many frames of each clip have them
        }
    )
    # Loss name -> loss weight; 0 leaves a loss out.
    config.losses = ConfigDict({**BASE_LOSSES, **FLOW_LOSSES, "adversarial": 0.02})
    # Loss name -> (start, end), fractions of num_steps between which the loss weight rises linearly from 0. Up
    # to the start the loss is not computed. A loss that is not named counts fully from the first step on.
    # Flow comes late: while bodies are still beside the people, it gains nothing (docs/experiments.md).
    config.ramps = ConfigDict({**dict.fromkeys(FLOW_LOSSES, (0.6, 0.7)), "adversarial": (0.0, 0.15)})
    config.optimizer = ConfigDict(
        {
            "learning_rate": 1e-3,
            "warmup_steps": 500,
            "weight_decay": 0.01,
            "clip_norm": 1.0,
            "ema_decay": 0.999,
            "train_only": "",  # a part of the model, such as "fitting_head"; empty: all of it
        }
    )
    # The discriminator, which learns from the step on in which the loss `adversarial` comes in.
    config.adversary = ConfigDict(
        {
            "channels": 128,
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
