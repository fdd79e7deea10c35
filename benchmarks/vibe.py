"""A training step of VIBE's kind and sizes (Kocabas et al., CVPR 2020) in torch, for comparisons of speed.

Written from the paper and the sizes of its published configuration, not from its code:

- Generator: the frames' ResNet features, 2,048 each and computed beforehand; a GRU of 2 layers of 1,024,
  forward in time; a linear layer back to 2,048, added to the features. The variant "gru_2048" has one layer
  as wide as the features and no linear layer: 25 instead of 18 million parameters.
- The regressor of HMR and SPIN (Kanazawa et al., CVPR 2018; Kolotouros et al., ICCV 2019) on every frame: 3
  iterations of two layers of 1,024 with dropout on [feature, pose in 6D, shape, camera], beginning with the
  mean body.
- SMPL's 6,890 vertices in every frame, by the formulas of its paper; 49 keypoints: 24 joints, 16 vertices,
  and 9 regressed from all vertices.
- Losses: 2D keypoints in all clips; 3D keypoints, pose and shape in the 40 % of the clips with 3D ground
  truth.
- Motion discriminator: a GRU of 2 layers of 1,024 on 69 axis-angle numbers a frame, self-attention of 2
  layers of 1,024, one score. Three passes: the prediction for the generator; the detached prediction and real
  motion for itself.
- Adam for both.

Where the sources leave a choice, the cheaper one is taken: the generator's pass sends no gradient to the
discriminator's parameters, and the attention has 2 hidden layers, as in the paper, not 3, as in the
configuration. The step runs eagerly, as VIBE's does.
"""

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from hpof_jax.body.model import BodyModel

FEATURES = 2048
LABELLED = 0.4  # share of the clips with 3D ground truth
REGRESSED = 9  # keypoints that are weighted sums of all vertices


class Encoder(nn.Module):
    """Features (B, T, 2048) -> features of the same shape, with temporal context."""

    def __init__(self, layers: int = 2, width: int = 1024):
        super().__init__()
        self.gru = nn.GRU(FEATURES, width, layers, batch_first=True)
        self.back = nn.Sequential(nn.ReLU(), nn.Linear(width, FEATURES)) if width != FEATURES else nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        return features + self.back(self.gru(features)[0])


class Regressor(nn.Module):
    """Features (N, 2048) -> rotations (N, 24, 3, 3), betas (N, 10), camera (N, 3), refined step by step."""

    SIZES = (24 * 6, 10, 3)

    def __init__(self, width: int = 1024, iterations: int = 3):
        super().__init__()
        self.iterations = iterations
        self.hidden = nn.Sequential(
            nn.Linear(FEATURES + sum(self.SIZES), width),
            nn.Dropout(),
            nn.Linear(width, width),
            nn.Dropout(),
        )
        self.change = nn.Linear(width, sum(self.SIZES))
        nn.init.xavier_uniform_(self.change.weight, gain=0.01)
        upright = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).repeat(24)
        self.register_buffer("mean", torch.cat([upright, torch.zeros(10), torch.tensor([0.9, 0.0, 0.0])]))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.mean.expand(len(features), -1)
        for _ in range(self.iterations):
            found = found + self.change(self.hidden(torch.cat([features, found], dim=-1)))
        pose, betas, camera = found.split(self.SIZES, dim=-1)
        return matrices(pose.reshape(-1, 24, 2, 3)), betas, camera


class Smpl(nn.Module):
    """SMPL (Loper et al., SIGGRAPH Asia 2015): linear blend skinning of all vertices, and keypoints."""

    def __init__(self, body: BodyModel, seed: int = 0):
        super().__init__()
        vertices, rng = len(body.v_template), np.random.default_rng(seed)
        constants = {
            "template": body.v_template,
            "shapedirs": body.shapedirs.reshape(-1, body.num_betas).T,  # (10, 3 V)
            "posedirs": body.posedirs.reshape(3 * vertices, -1).T,  # (207, 3 V)
            "joint_regressor": body.J_regressor,
            "weights": body.lbs_weights,
            "keypoint_regressor": rng.dirichlet(np.ones(vertices), REGRESSED),
        }
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(np.array(value, np.float32)))
        self.register_buffer("picked", torch.tensor(rng.choice(vertices, 16, replace=False)))
        self.parents = body.parents

    def forward(self, betas: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 10), (N, 24, 3, 3) -> vertices (N, 6890, 3) and keypoints (N, 49, 3), metres."""
        clip = len(betas)
        shaped = self.template + (betas @ self.shapedirs).view(clip, -1, 3)
        rest = torch.einsum("jv,nvc->njc", self.joint_regressor, shaped)
        bent = (rotations[:, 1:] - torch.eye(3)).reshape(clip, -1)
        shaped = shaped + (bent @ self.posedirs).view(clip, -1, 3)

        turns, places = [rotations[:, 0]], [rest[:, 0]]
        for joint, parent in enumerate(self.parents[1:], 1):
            bone = (rest[:, joint] - rest[:, parent])[..., None]
            places.append(places[parent] + (turns[parent] @ bone)[..., 0])
            turns.append(turns[parent] @ rotations[:, joint])
        turns, places = torch.stack(turns, 1), torch.stack(places, 1)
        moves = torch.cat([turns, (places - (turns @ rest[..., None])[..., 0])[..., None]], dim=-1)

        blended = (self.weights @ moves.view(clip, 24, 12)).view(clip, -1, 3, 4)
        vertices = (blended[..., :3] @ shaped[..., None])[..., 0] + blended[..., 3]
        regressed = torch.einsum("kv,nvc->nkc", self.keypoint_regressor, vertices)
        return vertices, torch.cat([places, vertices[:, self.picked], regressed], dim=1)


class MotionDiscriminator(nn.Module):
    """Axis-angle poses without the root (B, T, 69) -> scores (B,): towards 1 for real, 0 for predicted."""

    def __init__(self, width: int = 1024):
        super().__init__()
        self.gru = nn.GRU(69, width, 2, batch_first=True)
        self.attention = nn.Sequential(
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Dropout(0.2),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Dropout(0.2),
            nn.Linear(width, 1),
        )
        self.score = nn.Linear(width, 1)

    def forward(self, poses: Tensor) -> Tensor:
        states = self.gru(poses)[0]
        share = torch.softmax(self.attention(states), dim=1)
        return self.score((share * states).sum(dim=1))[:, 0]


def matrices(sixd: Tensor) -> Tensor:
    """6D rotations (..., 2, 3) -> rotation matrices (..., 3, 3), by Gram-Schmidt (Zhou et al., CVPR 2019)."""
    first, second = sixd.unbind(-2)
    x = nn.functional.normalize(first, dim=-1)
    y = nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def axis_angles(rotations: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) -> axis-angle (..., 3)."""
    twist = torch.stack(
        [
            rotations[..., 2, 1] - rotations[..., 1, 2],
            rotations[..., 0, 2] - rotations[..., 2, 0],
            rotations[..., 1, 0] - rotations[..., 0, 1],
        ],
        dim=-1,
    )
    sine = (twist.square().sum(-1, keepdim=True) + 1e-12).sqrt()  # twice the sine
    cosine = (rotations.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)) - 1.0  # twice the cosine
    return torch.atan2(sine, cosine) / sine * twist


def training(
    body: BodyModel, clips: int, frames: int, encoder: str = "published", seed: int = 0
) -> Callable[[], dict[str, float]]:
    """A function that makes one step of generator and discriminator on a random batch and returns its losses.

    Args:
      body: of SMPL's sizes, with 207 pose blend shapes.
      encoder: "published", or "gru_2048".
    """
    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(seed)
    smpl = Smpl(body)
    encoder = Encoder(1, FEATURES) if encoder == "gru_2048" else Encoder()
    regressor, discriminator = Regressor(), MotionDiscriminator()
    generator = [*encoder.parameters(), *regressor.parameters()]
    optimizer = torch.optim.Adam(generator, lr=5e-5)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-4, weight_decay=1e-4)

    features = torch.randn(clips, frames, FEATURES).relu()
    labelled = round(LABELLED * clips)
    true_betas = torch.randn(labelled * frames, 10)
    true_rotations = matrices(torch.randn(labelled * frames, 24, 2, 3))
    real_poses = 0.3 * torch.randn(clips, frames, 69)
    with torch.no_grad():
        true_3d = smpl(true_betas, true_rotations)[1]
    true_2d, sure = torch.randn(clips * frames, 49, 2), torch.rand(clips * frames, 49, 1)
    mse = nn.functional.mse_loss

    def step() -> dict[str, float]:
        rotations, betas, camera = regressor(encoder(features).reshape(-1, FEATURES))
        _, points = smpl(betas, rotations)
        seen = camera[:, None, :1] * (points[..., :2] + camera[:, None, 1:])  # weak perspective
        poses = axis_angles(rotations[:, 1:]).reshape(clips, frames, 69)
        known = slice(labelled * frames)
        discriminator.requires_grad_(False)
        terms = {
            "keypoints_2d": 300.0 * (sure * (seen - true_2d).square()).mean(),
            "keypoints_3d": 300.0 * mse(points[known] - points[known, :1], true_3d - true_3d[:, :1]),
            "pose": 60.0 * mse(rotations[known], true_rotations),
            "shape": 0.06 * mse(betas[known], true_betas),
            "adversarial": 0.5 * (discriminator(poses) - 1.0).square().mean(),
        }
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()

        discriminator.requires_grad_(True)
        fake, real = discriminator(poses.detach()), discriminator(real_poses)
        terms["discriminator"] = fake.square().mean() + (real - 1.0).square().mean()
        discriminator_optimizer.zero_grad()
        terms["discriminator"].backward()
        discriminator_optimizer.step()
        return {name: value.item() for name, value in terms.items()}

    return step
