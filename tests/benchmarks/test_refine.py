from benchmarks.refine import FIGURES, VARIANTS, groups, kind_of, means
from hpof_jax.picture_fit import TERMS


def test_every_motion_has_a_kind():
    names = {"dataset-1_walk_active_001.bvh": "walking", "video_side_jump_level1_amass.npz": "jumping"}
    names |= {"getup_facedown~1~4.bvh": "low", "01_08.bvh": "playground", "idle-listening.bvh": "other"}
    assert {name: kind_of(name) for name in names} == names


def test_clips_are_grouped_and_compilation_is_left_out():
    figures = dict.fromkeys((name for name in FIGURES if name != "cpu"), 1.0)
    clips = [
        {"folder": "a", "kind": f"a: {kind}", "variants": {"fast": figures | {"cpu": cpu}}}
        for kind, cpu in (("walking", 900.0), ("walking", 3.0), ("low", 3.0))
    ]
    found = groups(clips)
    assert {title: len(rows) for title, rows in found.items()} == {
        "all": 3,
        "a": 3,
        "third 1": 1,
        "third 2": 1,
        "third 3": 1,
        "a: low": 1,
        "a: walking": 2,
    }
    assert means(found["all"], "fast") == figures | {"cpu": 3.0}


def test_variants_switch_terms_that_exist():
    for options in VARIANTS.values():
        assert set(options.get("weights", {})) <= set(TERMS)
