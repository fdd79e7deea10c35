import numpy as np
import pytest

from data_pipelines.motion.clip import MotionClip
from data_pipelines.render import film as render
from data_pipelines.render.film import make_film, motion_files
from data_pipelines.sources import Recordings
from hpof_jax.errors import UserError

FRAMES = 12
MOTIONS = ("synthetic",)


def test_a_film_depends_on_seed_and_number_alone():
    films = [
        make_film(seed, number, MOTIONS, frames=FRAMES) for seed, number in ((0, 1), (0, 2), (1, 1), (0, 1))
    ]
    shown = [list(film.pictures) for film in films]
    for (image, mask), (other_image, other_mask) in zip(shown[0], shown[3], strict=True):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(mask, other_mask)
    for key, value in films[0].shot.ground_truth.items():
        np.testing.assert_array_equal(value, films[3].shot.ground_truth[key])
    poses = [film.shot.ground_truth["pose"] for film in films[:3]]
    assert all(np.abs(a - b).max() > 0.1 for a, b in ((poses[0], poses[1]), (poses[0], poses[2])))
    assert {film.motion_class for film in films} <= {"gait", "poses"}


@pytest.fixture
def recordings(monkeypatch):
    """The sources "bvh:large", with both splits, and "bvh:small", without a validation file."""
    clips = {
        name: Recordings(
            [
                MotionClip(
                    f"{name}.bvh", name, np.zeros((20, 24, 3), np.float32), np.zeros((20, 3), np.float32)
                )
            ]
        )
        for name in ("walk", "jump", "kick")
    }
    found = {
        ("bvh:large", "train"): "walk",
        ("bvh:large", "validation"): "jump",
        ("bvh:small", "train"): "kick",
    }

    def open_source(spec, split):
        if (spec, split) not in found:
            raise UserError(f"{spec} has no clip in its {split} split")
        return clips[found[spec, split]]

    monkeypatch.setattr(render, "open_source", open_source)
    render._open.cache_clear()
    yield
    render._open.cache_clear()


def test_one_clip_in_ten_shows_a_motion_of_the_validation_split(recordings):
    films = [make_film(0, number, ("bvh:large", "bvh:small"), frames=FRAMES) for number in range(10)]
    assert [film.validation for film in films] == [False] * 9 + [True]
    assert {film.name for film in films[:9]} == {"walk.bvh", "kick.bvh"}
    assert films[9].name == "jump.bvh" and films[9].motion_class == "jump"


def test_motions_are_augmented_or_as_recorded(recordings):
    films = [
        make_film(0, number, ("bvh:large",), frames=FRAMES, augment=augment)
        for augment in (True, False)
        for number in range(4)
    ]
    turned = [np.abs(film.shot.ground_truth["pose"][:, 1:]).max() for film in films]
    assert max(turned[:4]) > 0.1 and max(turned[4:]) < 1e-6


def test_the_files_of_all_sources_are_named(recordings):
    assert motion_files(("bvh:large", "bvh:small")) == {
        "bvh:large": ["jump.bvh", "walk.bvh"],
        "bvh:small": ["kick.bvh"],
    }
    with pytest.raises(UserError, match="bvh:small has no clip in its validation split"):
        motion_files(("bvh:small",))
    with pytest.raises(UserError, match="bvh:nothing has no clip in its train split"):
        motion_files(("bvh:large", "bvh:nothing"))
