"""HPOF: the default training, and the trainings that were measured, as variants `configs/hpof.py:VARIANT`.

The default trains every part of the method in one run: encoder, shape before pose, the kinematic tree, the fitting head
and the adversary from the first step on; silhouettes, warped silhouettes and vertex flow for its last 40 %. It needs no
data on disk: procedural motion, seen by a simulated camera and a simulated detector.

    python -m hpof_jax.train --config configs/hpof.py
    python -m hpof_jax.train --config configs/hpof.py --config.data.bvh=FOLDER_OR_ZIP  # and motion capture

`:shipped`, `:shipped_finish`, `:shipped_continue`, `:shipped_fit` and `:shipped_all` are the training of the weights
in `hpof_jax/assets/hpof.npz`, from scratch: six runs, one after the other. Each starts from the result of the one
before, with a new learning rate schedule. The result of a run is its weights, or, where `$MEAN` follows, the mean of
the weights that it started from and those that it ended with. `runs/c` is trained in its fitting head only, so it
needs no mean:

    TRAIN="python -m hpof_jax.train --config configs/hpof.py"
    MEAN="python -m hpof_jax.average"
    FIRST=$(echo rendered/{full_{a,b,c,d,d,e},heavy_{a,b,c}} | tr " " ,)  # the rendered clips of `:shipped_continue`
    $TRAIN:shipped --workdir runs/shipped
    $TRAIN:shipped_finish --workdir runs/shipped_finish
    $TRAIN:shipped_continue --workdir runs/a --config.initial_weights=runs/shipped_finish
    $MEAN runs/shipped_finish runs/a --out runs/a.npz
    $TRAIN:shipped_continue --workdir runs/b --config.initial_weights=runs/a.npz --config.num_steps=1200 \
        --config.seed=1 --config.data.rendered=$FIRST,rendered/F1,rendered/F1,rendered/F1,rendered/F1
    $MEAN runs/a.npz runs/b --out runs/b.npz
    $TRAIN:shipped_fit --workdir runs/c --config.initial_weights=runs/b.npz
    $TRAIN:shipped_all --workdir runs/d --config.initial_weights=runs/c
    $MEAN runs/c runs/d --out hpof.npz

Hardware: two shared CPU cores. Time: 100 and 25 minutes for the first two runs, 25, 10, 4 and 5 minutes for the others.
Each run was trained with one seed. docs/results.md has the figures of the result. The variants are:

    :shipped           7,000 steps of 32 clips x 81 frames
    :shipped_finish    3,000 steps more, with a lower learning rate
    :shipped_continue  2,500 steps of 32 clips x 60 frames, with more motion and other rendered clips
    :shipped_fit       800 steps of the fitting head alone, the rest of the model frozen
    :shipped_all       700 steps of the whole model with the fitting head

The data lie in the folder where the commands are run. Motion capture, BVH files in `recordings/`: `bandai` (Bandai
Namco Research Motiondataset 1 and 2), `cmu` (48 clips of the CMU database), `cmu_expmap` (32 clips of it, converted
from exponential maps), `deepmimic` and `deepmimic_sie` (DeepMimic's own clips, and those of Sony Interactive
Entertainment). From the third run on also `quaternius` and `mesh2motion` (animations), `cmu_playground` (14 clips of
CMU's subject 01), and AMASS files in `recordings/asap_smpl` (ASAP). Leave out of these four the files that
docs/results.md lists under "The files that were left out". Rendered clips lie in `rendered/`. Making them takes about
two hours on two cores. Each line below stands for one command, `$RENDER` with the motion named above the line:

    RENDER="python -m hpof_jax.data render --processes 2"
    ORDINARY="--motion bvh:recordings/bandai --motion bvh:recordings/cmu --motion bvh:recordings/cmu_expmap
              --motion bvh:recordings/deepmimic --motion bvh:recordings/deepmimic_sie"
    UNUSUAL="--motion bvh:recordings/quaternius --motion bvh:recordings/mesh2motion
             --motion bvh:recordings/cmu_playground --motion amass:recordings/asap_smpl"
    for the first two runs, $RENDER --motion synthetic $ORDINARY with:
        --out rendered/full --frames 56040                                           # 467 clips
        --out rendered/heavy --frames 29280 --landmark-model heavy                   # 244 clips
        --out rendered/full60 --frames 20820 --clip-frames 60                        # 347 clips
        --out rendered/heavy60 --frames 9540 --clip-frames 60 --landmark-model heavy # 159 clips
    for the others, $RENDER --clip-frames 60 $ORDINARY --motion bvh:recordings/bandai $UNUSUAL with:
        --as-recorded --out rendered/full_a --frames 9000 --seed 11
        --motion synthetic --out rendered/full_b --frames 6000 --seed 12
        --as-recorded --out rendered/heavy_a --frames 4800 --seed 13 --landmark-model heavy
        --as-recorded --out rendered/full_c --frames 9000 --seed 14
        --motion synthetic --out rendered/heavy_b --frames 3600 --seed 15 --landmark-model heavy
        --as-recorded --out rendered/full_d --frames 18000 --seed 16
        --motion synthetic --out rendered/full_e --frames 12000 --seed 17
        --as-recorded --out rendered/heavy_c --frames 9000 --seed 18 --landmark-model heavy
    and the same with one more bandai, one more asap_smpl and --motion synthetic twice, with:
        --as-recorded --out rendered/F1 --frames 36000 --seed 21
        --as-recorded --out rendered/H1 --frames 12000 --seed 22 --landmark-model heavy
        --as-recorded --out rendered/F2 --frames 9000 --seed 24

`:free`, `:free_fit` and `:free_all` train `hpof_jax/assets/hpof_free.npz`, from scratch, on `cmu`, `cmu_expmap`,
`deepmimic`, `quaternius`, `mesh2motion`, `cmu_playground`, `asap_smpl` and synthetic motion alone:

    $TRAIN:free --workdir runs/free            # 6,000 steps of 32 clips x 60 frames without the fitting head
    $TRAIN:free_fit --workdir runs/free_fit    # 800 steps of the fitting head alone
    $TRAIN:free_all --workdir runs/free_all    # 700 steps of the whole model
    $MEAN runs/free_fit runs/free_all --out runs/e.npz
    $TRAIN:free_all --workdir runs/f --config.initial_weights=runs/e.npz --config.num_steps=2000 --config.seed=3 \
        --config.optimizer.learning_rate=8e-4
    $MEAN runs/e.npz runs/f --out hpof_free.npz
    its clips, $RENDER --clip-frames 60 with each of these recordings once and deepmimic twice:
        --as-recorded --out rendered/free_a --frames 15000 --seed 31
        --motion synthetic --motion synthetic --out rendered/free_b --frames 9000 --seed 32
        --as-recorded --out rendered/free_h --frames 6000 --seed 33 --landmark-model heavy
        --as-recorded --out rendered/free_fit --frames 7800 --seed 34
        --as-recorded --out rendered/free_fit_h --frames 2400 --seed 35 --landmark-model heavy

Time: 40, 5, 8 and 30 minutes, and 30 for the clips, on two cores with much other work.

All these runs had a body whose arms were 9 % shorter; the history of `hpof_jax/assets/free_body.npz` has that
body. One more run of each model, from the result above, has the body with longer arms and new clips of it. The shipped
files are the means of its start and its end:

    NEW="--config.optimizer.learning_rate=8e-4"
    $TRAIN:shipped_all --workdir runs/g --config.initial_weights=hpof.npz --config.num_steps=2500 --config.seed=5 $NEW \
        --config.data.rendered=$(echo rendered/{long_a,long_a,long_c,long_b,long_h,long_i} | tr " " ,)
    $TRAIN:free_all --workdir runs/h --config.initial_weights=hpof_free.npz --config.num_steps=2000 --config.seed=6 \
        $NEW --config.data.rendered=$(echo rendered/{long_a,long_a,long_b,long_h} | tr " " ,)
    its clips, $RENDER --clip-frames 60 with the recordings of the free clips:
        --as-recorded --out rendered/long_a --frames 15000 --seed 41
        --motion synthetic --motion synthetic --out rendered/long_b --frames 9000 --seed 42
        --as-recorded --out rendered/long_h --frames 6000 --seed 43 --landmark-model heavy
    and with `bandai` three times and `deepmimic_sie`:
        --as-recorded --out rendered/long_c --frames 10800 --seed 44
        --as-recorded --out rendered/long_i --frames 3600 --seed 45 --landmark-model heavy

Time: 43 and 32 minutes, both at once, and 15 for the clips.

The original clips cannot be made again exactly: those of the first two runs show people in earlier versions of the
looks, and the rendering of F2 was stopped early.

`:paper` is the recipe for the field's data sets, with image features, the flow losses and the adversary. docs/paper.md
has its choices, how the data get onto the hosts of a pod, and how the time was estimated. It has not been trained:

    python -m launch tpu run --name paper --zone us-central2-b --type v4-32 --workdir gs://BUCKET/paper \
        --config configs/hpof.py:paper
    # v4-32 (16 chips): an estimated 7 to 12 minutes of training, 12 to 27 with creating, installing and compiling
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
    "model": {"fit_steps": 0},  # the fitting head comes in later
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
# More motion, and a simulated detector that is often better than BlazePose.
WIDER = {
    "bvh": f"{SHIPPED['data']['bvh']},"
    + ",".join(f"recordings/{name}" for name in ("quaternius", "mesh2motion", "cmu_playground")),
    "amass": "recordings/asap_smpl",
    "severity": (0.1, 1.6),
}
CONTINUE = SHIPPED | {
    "batch_size": 32,
    "clip_length": 60,
    "num_steps": 2_500,
    "data": SHIPPED["data"]
    | WIDER
    | {
        "rendered": ",".join(
            f"rendered/{name}"
            for name in (
                *("full_a", "full_b", "full_c", "full_d", "full_d", "full_e"),
                *("heavy_a", "heavy_b", "heavy_c"),
            )
        )
    },
    "losses": ConfigDict(BASE_LOSSES | {"smoothness": 20.0}),
    "optimizer": {"learning_rate": 6e-4, "warmup_steps": 50, "ema_decay": 0.99},
    "eval_every": 0,
}
# The training of the fitting head alone; it has no say in the shape.
HEAD_LOSSES = ConfigDict(
    {name: weight for name, weight in BASE_LOSSES.items() if name != "betas"} | {"smoothness": 20.0}
)
HEAD_OPTIMIZER = {
    "learning_rate": 1e-3,
    "warmup_steps": 20,
    "weight_decay": 0.0,
    "ema_decay": 0.98,
    "train_only": "fitting_head",
}
# Motion whose licences allow commercial use. The weights trained on it have no non-commercial clause.
FREE = CONTINUE | {
    "num_steps": 6_000,
    "data": CONTINUE["data"]
    | {
        "bvh": ",".join(
            f"recordings/{name}"
            for name in ("cmu", "cmu_expmap", "deepmimic", "quaternius", "mesh2motion", "cmu_playground")
        ),
        "synthetic": 1.5,
        "mocap_share": 3.0,
        "rendered": "rendered/free_a,rendered/free_a,rendered/free_b,rendered/free_h",
    },
    "optimizer": {},
}
# The mixture of the field's video-based methods: 6 of 10 clips with annotations in 2D, 4 with annotations in 3D.
SETS_2D = ("instavariety",) * 4 + ("penn_action", "posetrack")
SETS_3D = ("human36m",) * 2 + ("mpi_inf_3dhp", "3dpw")
PAPER = {
    "batch_size": 256,
    "num_steps": 20_000,
    "model": {"inputs": ("features",), "fit_steps": 0},  # the fitting head needs landmarks
    "data": {
        "synthetic": 0.0,
        "prepared": ",".join(
            f"prepared/{name}" for name in SETS_2D + SETS_3D
        ),  # named twice: twice the share
        "real_motion": "amass:prepared/amass",
    },
}
VARIANTS = {
    "": {},
    # One thing less, named as in hpof_jax.ablate. The others are keys of config.model.
    "no_flow": {"losses": dict.fromkeys(FLOW_LOSSES, 0.0)},
    "no_adversary": {"losses": {"adversarial": 0.0}},
    "paper": PAPER,
    "shipped": SHIPPED,
    "shipped_finish": SHIPPED
    | {
        "initial_weights": "runs/shipped",
        "num_steps": 3_000,
        "optimizer": {"learning_rate": 6e-4, "warmup_steps": 100},
        "eval_every": 0,  # without scores, `weights.npz` is of the last step, as shipped
    },
    "shipped_continue": CONTINUE,
    # The fitting head alone, on clips that the rest of the model has not seen: it learns how far to trust the rest.
    "shipped_fit": CONTINUE
    | {
        "batch_size": 16,
        "num_steps": 800,
        "model": {"fit_steps": 2},
        "data": BASE["data"]
        | WIDER
        | {
            "synthetic": 1.0,
            "mocap_share": 4.0,
            "rendered": "rendered/H1,rendered/F2",
            "rendered_share": 8.0,
        },
        "losses": HEAD_LOSSES,
        "optimizer": HEAD_OPTIMIZER,
    },
    "shipped_all": CONTINUE
    | {
        "num_steps": 700,
        "seed": 2,
        "model": {"fit_steps": 2},
        "data": CONTINUE["data"]
        | {
            # Named more than once: so many parts of `rendered_share`.
            "rendered": ",".join(
                f"rendered/{name}"
                for name in (
                    *("F1", "F1", "F1", "F2", "H1"),
                    *("full_d", "full_d", "full_c", "full_a", "heavy_c", "full_e"),
                )
            )
        },
        "losses": ConfigDict(BASE_LOSSES | {"smoothness": 30.0}),
        "optimizer": CONTINUE["optimizer"] | {"learning_rate": 5e-4},
    },
    # The free weights, trained likewise: the model without the fitting head, the head alone, all of it.
    "free": FREE,
    "free_fit": FREE
    | {
        "initial_weights": "runs/free",
        "batch_size": 16,
        "num_steps": 800,
        "model": {"fit_steps": 2},
        "data": FREE["data"]
        | {"synthetic": 1.0, "rendered": "rendered/free_fit,rendered/free_fit_h", "rendered_share": 8.0},
        "losses": HEAD_LOSSES,
        "optimizer": HEAD_OPTIMIZER,
    },
    "free_all": FREE
    | {
        "initial_weights": "runs/free_fit",
        "num_steps": 700,
        "seed": 2,
        "model": {"fit_steps": 2},
        "data": FREE["data"]
        | {"rendered": f"{FREE['data']['rendered']},rendered/free_fit,rendered/free_fit_h"},
        "losses": ConfigDict(BASE_LOSSES | {"smoothness": 30.0}),
        "optimizer": CONTINUE["optimizer"] | {"learning_rate": 5e-4},
    },
    # For hpof_jax.ablate, at a budget for two CPU cores: without the fitting head, with labels on a part of the data, and
    # with the flow losses from the start.
    "ablation": {
        "batch_size": 8,
        "clip_length": 64,
        "num_steps": ABLATION_STEPS,
        "model": {"fit_steps": 0},
        "data": {"unlabelled": "synthetic"},
        "ramps": {**dict.fromkeys(FLOW_LOSSES, (0.0, 0.0)), "adversarial": (0.1, 0.25)},
        "optimizer": {"warmup_steps": ABLATION_STEPS // 10},
        "checkpoint_every": 100,
        "eval_every": 0,  # the ablation evaluates each run at its end
    },
    # For comparisons of speed: VIBE's batch, and an encoder of as many parameters as its GRU of 2048 units.
    "vibe_size": {"batch_size": 32, "clip_length": 16, "model": {"channels": 1280}},
    # Per frame, but for the clip's shape.
    "mlp": BASE | {"model": {"kernel_size": 1, "dilations": (1, 1, 1, 1), "fit_steps": 0}},
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
    config.precision = "f32"  # or "bf16": the encoder's matrix products; the parameters stay float32
    config.accumulate = 1  # parts of a device's batch that are computed after one another, to save memory
    config.remat = False  # compute the network's activations again in the backward pass, to save memory
    # A weights .npz, a training run's folder, or "nc" or "free", which need model.fit_steps = 2; empty: random.
    config.initial_weights = ""

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
            "causal": False,  # the encoder sees no later frame, so that it streams: docs/live.md
            "fit_steps": 2,  # Gauss-Newton steps of the fitting head towards the observed landmarks; 0: none
            "inputs": ("landmarks",),  # or ("features",), of a ResNet-50, or both (docs/features.md)
            "image_channels": 256,  # of the image features' embedding
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
            "prepared": "",  # comma-separated folders written by hpof_jax.data prepare
            "prepared_share": 4.0,
            "unlabelled": "",  # comma-separated sources whose ground truth is withheld, such as "bvh:PATH"
            "unlabelled_share": 1.0,
            "videos": "",  # comma-separated videos, or folders of them
            "videos_share": 1.0,
            # Comma-separated sources of the adversary's real motion, such as "amass:PATH"; empty: the labelled sources.
            "real_motion": "",
            "hide_3d": 0.3,  # share of clips whose 3D landmarks are hidden from the model
            # Of a model that takes landmarks and image features: the share of clips whose image features are hidden,
            # and of those with image features whose landmarks are.
            "hide_input": 0.25,
            # Errors of the simulated detector, bounds of a factor for each clip: 1 is BlazePose.
            "severity": (0.5, 1.6),
            # Optical flow and masks, made while a loss needs them: "none", "exact", or "noisy" with errors like
            # DIS flow's.
            "flow": "noisy",
            "flow_frames": 8,  # how many frames of each clip have them
            # Parts of a batch that are drawn independently, 0: one for each process. With the same number of
            # shards, any number of processes trains on the same clips.
            "shards": 0,
            # Processes that make batches beside the training, each another one; 0: a thread makes them.
            "processes": 0,
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
