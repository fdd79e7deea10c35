import numpy as np
import pytest
from scipy.io import savemat

from data_pipelines.datasets import base, penn_action
from hpof_jax.errors import UserError
from tests.data_pipelines.datasets.conftest import pictures

T = 20


def write(raw, name="0001", train=1, frames=T, more=0, damage=()):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1, 300, (frames, 13)), rng.uniform(1, 200, (frames, 13))
    visibility = np.ones((frames, 13), np.uint8)
    visibility[:, 5] = 0  # the left wrist
    label = {
        "action": "golf_swing", "pose": "front", "x": x, "y": y, "visibility": visibility, "train": np.array([[train]]),
        "bbox": np.zeros((frames, 4)), "dimensions": np.array([[240, 320, frames + more]]), "nframes": frames,
    }  # fmt: skip
    (raw / "labels").mkdir(parents=True, exist_ok=True)
    savemat(raw / "labels" / f"{name}.mat", {key: value for key, value in label.items() if key not in damage})
    return x, y


def test_the_points_of_a_video_and_their_visibility(tmp_path):
    x, y = write(tmp_path)
    pictures(tmp_path / "frames" / "0001", "{:06d}.jpg", T, (240, 320), first=1)
    (unit,) = penn_action.find(tmp_path).units
    reading = penn_action.read(unit)
    (person,) = reading.people
    assert unit.split == "train" and person.image_size == (240, 320) and person.motion_class == "golf_swing"
    knee, wrist = (base.POINTS.index(name) for name in ("right_knee", "left_wrist"))
    # MATLAB counts pixels from 1: the centre of the first is at 0.5 here.
    np.testing.assert_allclose(
        person.keypoints_2d[:, knee], np.stack([x[:, 10] - 0.5, y[:, 10] - 0.5, np.ones(T)], 1), atol=1e-4
    )
    assert not person.keypoints_2d[:, wrist].any()
    assert (person.keypoints_2d[..., 2].sum(axis=1) == 11).all()
    assert person.focal_length is None and len(list(reading.frames())) == T


def test_the_flag_tells_the_split_and_longer_videos_lose_frames(tmp_path):
    write(tmp_path, "0001", train=-1)
    write(tmp_path, "0002", more=-3)
    found = penn_action.find(tmp_path)
    assert [unit.split for unit in found.units] == ["test", "train"]
    assert len(penn_action.read(found.units[1]).people[0]) == T - 3
    assert "2324 of 2326 files labels/*.mat" in found.missing and "frames/0002/" in found.missing


@pytest.mark.parametrize("damage", [("x",), ("visibility",), ("dimensions",)])
def test_labels_that_lack_something_end_in_one_sentence(tmp_path, damage):
    write(tmp_path, damage=damage)
    (unit,) = penn_action.find(tmp_path).units
    with pytest.raises(
        UserError, match=rf"0001.mat is not a readable label of PennAction \(it has no '{damage[0]}'"
    ):
        penn_action.read(unit)


def test_a_cut_label_ends_in_one_sentence(tmp_path):
    write(tmp_path)
    path = tmp_path / "labels" / "0001.mat"
    path.write_bytes(path.read_bytes()[:600])
    (unit,) = penn_action.find(tmp_path).units
    with pytest.raises(UserError, match="download it again"):
        penn_action.read(unit)
