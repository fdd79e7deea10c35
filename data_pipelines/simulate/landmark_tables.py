"""BlazePose's 33 landmarks as body parts, limbs and bones: the tables of the simulated detector."""

import numpy as np

from hpof_jax.body.skeletons import BLAZEPOSE_LANDMARKS


def _rows(table: dict[str, float], default: float = 0.0) -> np.ndarray:
    """(33,) float32: for each landmark the value of the first key that its name contains."""
    values = [next((v for k, v in table.items() if k in name), default) for name in BLAZEPOSE_LANDMARKS]
    return np.array(values, np.float32)


def _side(name: str) -> int:
    return 1 if name.startswith("right") else 0


def _part_of(name: str) -> int:
    """0 the head, then left and right shoulder, hip, elbow, wrist, hand, knee, ankle and foot."""
    if "foot" in name or "heel" in name:
        return 15 + _side(name)
    for index, part in enumerate(("shoulder", "hip", "elbow", "wrist", "", "knee", "ankle")):
        if part and part in name:
            return 1 + 2 * index + _side(name)
    return 9 + _side(name) if any(part in name for part in ("pinky", "index", "thumb")) else 0


def _limb_of(name: str) -> int:
    """0 trunk, 1 head, 2 and 3 arms, 4 and 5 legs."""
    part = _part_of(name)
    return 0 if 1 <= part <= 4 else 1 if part == 0 else (2 if part <= 10 else 4) + _side(name)


def _bone_matrices() -> tuple[np.ndarray, np.ndarray]:
    """Matrices (33, 33) from landmarks about the mid-hip to bones, and back.

    A bone starts at the landmark nearer to the trunk.
    """
    at = BLAZEPOSE_LANDMARKS.index
    nearer = {
        "elbow": "shoulder",
        "wrist": "elbow",
        "pinky": "wrist",
        "index": "wrist",
        "thumb": "wrist",
        "knee": "hip",
        "ankle": "knee",
        "heel": "ankle",
        "foot_index": "ankle",
    }
    matrix = np.eye(33, dtype=np.float32)
    for row, name in enumerate(BLAZEPOSE_LANDMARKS):
        side, _, part = name.partition("_")
        if part in nearer:
            matrix[row, at(f"{side}_{nearer[part]}")] -= 1
        elif row < 11:
            matrix[row, [at("left_shoulder"), at("right_shoulder")]] -= 0.5
    return matrix, np.linalg.inv(matrix).astype(np.float32)


def _balls() -> tuple[np.ndarray, np.ndarray]:
    """Balls for trunk, head and thighs: centres as weights over the landmarks (6, 33), radii (6,) in metres."""
    at = BLAZEPOSE_LANDMARKS.index
    shoulders, hips = [at("left_shoulder"), at("right_shoulder")], [at("left_hip"), at("right_hip")]
    rows, radii = [], []
    for share, radius in ((0.9, 0.15), (0.5, 0.14), (0.1, 0.15)):
        row = np.zeros(33)
        row[shoulders], row[hips] = share / 2, (1 - share) / 2
        rows.append(row)
        radii.append(radius)
    row = np.zeros(33)
    row[[at("left_ear"), at("right_ear")]] = 0.5
    rows.append(row)
    radii.append(0.1)
    for side in ("left", "right"):
        row = np.zeros(33)
        row[[at(f"{side}_hip"), at(f"{side}_knee")]] = 0.5
        rows.append(row)
        radii.append(0.08)
    return np.stack(rows).astype(np.float32), np.array(radii, np.float32)


# (33,) body part of each landmark, see `_part_of`, and its limb, see `_limb_of`.
PART = np.array([_part_of(name) for name in BLAZEPOSE_LANDMARKS])
LIMB = np.array([_limb_of(name) for name in BLAZEPOSE_LANDMARKS])
# (4, 33) how far each landmark moves where an arm or a leg is lost: elbows and knees half as far as the rest.
_DISTAL = np.where(np.isin(PART, (5, 6, 11, 12)), 0.5, 1.0)
LIMB_REACH = np.stack([np.where(limb == LIMB, _DISTAL, 0.0) for limb in (2, 3, 4, 5)]).astype(np.float32)
# (3, 33) landmarks of a left-right swap: those of the whole body, of the legs, of the arms.
_INDEX = np.arange(33)
SWAP_GROUPS = np.stack([_INDEX >= 11, _INDEX >= 23, (_INDEX >= 11) & (_INDEX < 23)])
# (33,) 1 for the hips.
HIPS = _rows({"hip": 1.0})
# (33,) noise of each landmark, relative to that of an elbow or a knee.
NOISE_SHARE = _rows(
    {
        "shoulder": 0.9,
        "hip": 0.8,
        "elbow": 1.0,
        "wrist": 1.3,
        "knee": 1.0,
        "ankle": 1.1,
        "eye": 0.5,
        "ear": 0.5,
        "nose": 0.5,
        "mouth": 0.5,
    },
    default=1.4,
)
# (33, 33) from landmarks about the mid-hip to bones, and back; (33,) from bone lengths to trunk + thigh + shank.
TO_BONES, FROM_BONES = _bone_matrices()
BODY_SIZE = _rows({"shoulder": 0.5, "knee": 0.5, "ankle": 0.5})
# (6, 33) and (6,): balls that occlude landmarks behind them.
BALLS, BALL_RADII = _balls()
