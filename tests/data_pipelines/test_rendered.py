import jax
import numpy as np
import pytest

from data_pipelines import rendered, stream
from data_pipelines.rendered import RenderedClips, clip_path, events, fail, mirrored, write_clip
from data_pipelines.simulate import CameraRange, DetectorNoise, simulate
from hpof_jax.body.files import load_body
from hpof_jax.body.model import keypoints
from hpof_jax.errors import UserError
from hpof_jax.geometry.camera import project
from hpof_jax.geometry.rotations import axis_angle_to_matrix

LENGTH, FRAMES = 20, 12


def make_clips(folder, count=5, validation=(4,), unseen=()):
    """Clips of a perfect detector; those in `unseen` show nobody."""
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.2, (count, LENGTH, 24, 3)).astype(np.float32)
    transl = np.cumsum(rng.normal(0, 0.01, (count, LENGTH, 3)), axis=1).astype(np.float32)
    betas = rng.normal(size=(count, 10)).astype(np.float32)
    made = simulate(
        jax.random.key(0),
        load_body(),
        pose,
        transl,
        betas,
        DetectorNoise.none(),
        CameraRange(close_share=0.0),
    )
    made = {key: np.asarray(value) for key, value in made.items()}
    folder.mkdir(exist_ok=True)
    for number in range(count):
        clip = {key: value[number] for key, value in made.items()}
        clip["seen"] = clip["seen"] & (number not in unseen)
        clip |= {
            "name": np.array(f"{number}.bvh"),
            "motion_class": np.array("walk" if number % 2 else "jump"),
        }
        write_clip(clip_path(folder, number), clip | {"validation": np.array(number in validation)})
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    make_clips(folder)
    return folder


def pixels(batch):
    """The truth's landmarks, and where they are in the frame."""
    return _pixels(load_body(), batch)


@jax.jit
def _pixels(body, batch):
    rotations = axis_angle_to_matrix(batch["pose"])
    points, _ = keypoints(body, body.landmarks, batch["betas"][:, None], rotations, batch["transl"])
    size = batch["image_size"][:, None, None]
    return points, project(points, batch["true_focal_length"][:, None, None], size)


def test_windows_of_clips_are_a_batch_of_the_stream(folder):
    clips = RenderedClips(folder, "train")
    batch, classes = clips.draw(np.random.default_rng(0), 2, FRAMES, augment=False)
    simulated = stream.batch_maker({"synthetic": 1.0}, 2, FRAMES, seed=0)(0)
    assert {key: value.shape for key, value in batch.items()} == {
        key: value.shape for key, value in simulated.items() if key != "motion_class"
    }
    assert all(batch[key].dtype == simulated[key].dtype for key in batch)
    assert classes.shape == (2,) and set(classes) <= clips.classes == {"walk", "jump"}
    assert batch["mask"].all() and batch["has_3d"].all() and batch["has_smpl"].all()
    _, expected = pixels(batch)
    np.testing.assert_allclose(
        batch["landmarks_2d"][..., :2][batch["seen"]], expected[batch["seen"]], atol=0.05
    )


def test_a_mirror_shows_truth_and_observations_alike(folder):
    batch, _ = RenderedClips(folder, "all").draw(np.random.default_rng(0), 2, FRAMES, augment=False)
    chosen = np.array([True, False])
    seen = mirrored(batch, chosen)
    for key in ("landmarks_2d", "landmarks_3d", "pose", "transl"):
        np.testing.assert_array_equal(seen[key][~chosen], batch[key][~chosen])
        assert seen[key].dtype == np.float32 and np.abs(seen[key][chosen] - batch[key][chosen]).max() > 0.01
    points, expected = pixels(seen)
    width = batch["image_size"][:, 1, None, None]
    visible = seen["seen"]
    # The body is not exactly as wide to the left as to the right.
    np.testing.assert_allclose(
        (seen["landmarks_2d"][..., :2] / width[..., None])[visible],
        (expected / width[..., None])[visible],
        atol=0.005,
    )
    about_hips = np.asarray(points) - np.asarray(points)[:, :, 23:25].mean(2, keepdims=True)
    original, _ = pixels(batch)
    original = np.asarray(original) - np.asarray(original)[:, :, 23:25].mean(2, keepdims=True)
    # The detector's own 3D is mirrored as the truth's is.
    np.testing.assert_allclose(
        np.linalg.norm(about_hips, axis=-1).sum(-1), np.linalg.norm(original, axis=-1).sum(-1), rtol=0.01
    )
    twice = mirrored(seen, chosen)
    np.testing.assert_allclose(twice["pose"], batch["pose"], atol=1e-6)
    np.testing.assert_allclose(twice["landmarks_2d"], batch["landmarks_2d"], atol=1e-3)


def test_swaps_and_gaps_leave_the_truth_alone(folder, monkeypatch):
    monkeypatch.setattr(rendered, "SWAP_RATE", 0.05)
    monkeypatch.setattr(rendered, "DROP_RATE", 0.03)
    batch, _ = RenderedClips(folder, "all").draw(np.random.default_rng(0), 64, LENGTH, augment=False)
    failed = fail(np.random.default_rng(1), batch)
    for key in ("pose", "transl", "betas", "mask", "true_focal_length"):
        np.testing.assert_array_equal(failed[key], batch[key])
    lost = batch["seen"] & ~failed["seen"]
    assert 0.01 < lost.mean() < 0.5 and not (failed["seen"] & ~batch["seen"]).any()
    assert not failed["landmarks_2d"][lost].any() and not failed["landmarks_3d"][lost].any()
    moved = (failed["landmarks_2d"] != batch["landmarks_2d"]).any(axis=-1) & failed["seen"][..., None]
    assert 0.05 < moved.any(axis=-1).mean() < 0.8
    assert not moved[..., :11].any()  # faces are not swapped
    arms, legs = moved[..., 11:23].any(axis=-1), moved[..., 23:].any(axis=-1)
    assert (arms & legs).any() and (arms & ~legs).any() and (legs & ~arms).any()
    hidden = batch | {
        "has_3d": np.zeros(64, bool)
    }  # where the landmarks are what is learned, nothing is exchanged
    kept = fail(np.random.default_rng(1), hidden)
    np.testing.assert_array_equal(kept["seen"], failed["seen"])
    np.testing.assert_array_equal(kept["landmarks_2d"][kept["seen"]], batch["landmarks_2d"][kept["seen"]])
    both = np.sort(failed["landmarks_2d"], axis=2), np.sort(batch["landmarks_2d"], axis=2)
    np.testing.assert_array_equal(both[0][failed["seen"]], both[1][failed["seen"]])


def test_events_last_as_long_as_asked():
    state = events(np.random.default_rng(0), (400, 60), 0.004, (5, 9), kinds=3)
    assert set(np.unique(state)) == {-1, 0, 1, 2}
    runs = [
        np.diff(np.flatnonzero(np.diff(np.r_[-1, row, -1]) != 0))
        for row in state
        if (row >= 0).sum() in range(1, 10)
    ]
    inner = [
        run[0]
        for row, run in zip([r for r in state if (r >= 0).sum() in range(1, 10)], runs)
        if row[-1] < 0 and len(run) == 1
    ]
    assert inner and min(inner) >= 5 and max(inner) <= 9


def test_validation_shows_each_clip_once(folder):
    clips = RenderedClips(folder, "all")
    found = list(clips.windows(FRAMES, None))
    assert [name for _, name, _ in found] == [f"{number}.bvh" for number in range(5)]
    for rows, _, _ in found:
        assert [row["mask"].sum() for row in rows] == [FRAMES, LENGTH - FRAMES]
        assert all(row["pose"].shape == (FRAMES, 24, 3) for row in rows)
    assert [[row["mask"].sum() for row in rows] for rows, _, _ in clips.windows(FRAMES, 5)] == [[5]] * 5


def test_windows_longer_than_the_clips_are_padded(folder):
    batch, _ = RenderedClips(folder, "train").draw(np.random.default_rng(0), 3, LENGTH + 7, augment=True)
    np.testing.assert_array_equal(batch["mask"], np.tile(np.arange(LENGTH + 7) < LENGTH, (3, 1)))
    assert all(np.isfinite(value).all() for value in batch.values())


def test_the_stream_mixes_rendered_with_simulated_clips(folder):
    sources = {"synthetic": 1.0, f"rendered:{folder}": 3.0}
    assert stream.stream_classes(sources) == ("gait", "jump", "poses", "walk")
    make = stream.batch_maker(sources, 8, FRAMES, seed=0)
    batch = make(0)
    kinds = np.array(stream.stream_classes(sources))[batch["motion_class"]]
    assert np.isin(kinds, ["walk", "jump"]).sum() == 6
    again = stream.batch_maker(sources, 8, FRAMES, seed=0)(0)
    assert all(np.array_equal(batch[key], again[key]) for key in batch)
    flowing = stream.batch_maker(sources, 8, FRAMES, seed=0, flow="exact", flow_frames=3)(0)
    hidden = {"synthetic": 1.0, f"unlabelled:rendered:{folder}": 3.0}
    hidden = stream.batch_maker(hidden, 8, FRAMES, seed=0, flow="exact", flow_frames=3)(0)
    np.testing.assert_array_equal(hidden["has_3d"], np.arange(8) < 2)
    for key in ("flow", "flow_valid", "masks"):  # made from the truth, which then goes
        np.testing.assert_array_equal(hidden[key], flowing[key])
    assert flowing["pose"][2:].any() and not hidden["pose"][2:].any()
    alone = stream.batch_maker({f"rendered:{folder}": 1.0}, 4, FRAMES, seed=0)(5)
    assert alone["pose"].shape == (4, FRAMES, 24, 3)


def test_the_stream_validates_on_both(folder):
    windows = stream.validation_windows(
        {"synthetic": 1.0, f"rendered:{folder}": 1.0}, FRAMES, seed=0, batch_size=3, synthetic_clips=1
    )
    batches = list(windows)
    assert [name for _, names, _ in batches for name in names] == ["gait_000"] * 2 + ["4.bvh"] * 2 + [""] * 2
    assert {batch["landmarks_2d"].shape for batch, _, _ in batches} == {(3, FRAMES, 33, 3)}


def test_clips_in_which_nobody_was_found_are_left_out(tmp_path):
    make_clips(tmp_path, unseen=(1, 2))
    batch, _ = RenderedClips(tmp_path, "train").draw(np.random.default_rng(0), 32, FRAMES, augment=False)
    assert len(np.unique(batch["betas"][:, 0])) == 2


def test_what_is_no_collection_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no rendered clip in its train split"):
        RenderedClips(tmp_path / "nowhere", "train")
    make_clips(tmp_path, validation=())
    with pytest.raises(UserError, match="in its validation split"):
        RenderedClips(tmp_path, "validation")
    clip_path(tmp_path, 1).write_bytes(clip_path(tmp_path, 1).read_bytes()[:500])
    with pytest.raises(UserError, match="clip_000001.npz is no rendered clip"):
        RenderedClips(tmp_path, "train")


def test_a_full_disk_leaves_no_half_clip(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UserError, match="No space left"):
        write_clip(clip_path(tmp_path, 0), {})
    assert not list(tmp_path.iterdir())
