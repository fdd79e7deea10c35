"""Results as text and LaTeX."""

from hpof_jax.score_tables import format_latex, format_scores, format_table

ROW = {"mpjpe": 50.04, "pa_mpjpe": None, "frames": 10.0, "coverage": 100.0}
MODEL = {
    "protocol": {"joints": "SMPL-24", "units": "mm"},
    "overall": {"mpjpe": 50.04, "clips": 2.0},
    "classes": {"walk": {"mpjpe": 40.0, "clips": 1.0}},
    "sources": {"a": {}, "b": {}},
    "intervals": {"mpjpe": [45.0, 55.0]},
}
PROGRAMS = {
    "protocol": {"name": "smpl24", "title": "SMPL's joints"},
    "programs": {"WHAM": {"overall": ROW, "intervals": {}, "sequences": {"one": ROW, "two": ROW}}},
    "notes": ["A note."],
}


def test_a_models_table_has_classes_sources_mean_and_interval():
    lines = format_table(MODEL).splitlines()
    assert [line.split("  ")[0] for line in lines[1:7]] == [
        "walk",
        "[a]",
        "[b]",
        "overall",
        "95 % from",
        "95 % to",
    ]
    assert "50.0" in lines[4] and lines[-1] == "joints: SMPL-24, units: mm"
    assert "[45.0, 55.0]" in format_latex(MODEL)


def test_programs_get_a_row_for_the_page_of_protocols():
    text = format_scores(PROGRAMS)
    assert "WHAM: two" in text and "| WHAM | 50.0 | - |" in text and text.endswith("A note.")
    assert "WHAM" in format_latex(PROGRAMS)
