from hpof_jax.tables import Column, latex_table, number, text_table

COLUMNS = {"mpjpe": Column("MPJPE"), "frames": Column("frames", 0)}
ROWS = {"ours_1": {"mpjpe": 55.64, "frames": 120.0}, "WHAM": {"mpjpe": None, "frames": 7.0}}


def test_a_text_table():
    assert text_table(ROWS, COLUMNS).splitlines() == [
        "           MPJPE  frames",
        "ours_1      55.6     120",
        "WHAM           -       7",
    ]


def test_a_latex_table_with_intervals():
    lines = latex_table(ROWS, COLUMNS, {"ours_1": {"mpjpe": [54.1, 57.0]}}, "5 % of 3DPW").splitlines()
    assert r"\begin{tabular}{lrr}" in lines and r" & MPJPE & frames \\" in lines
    assert r"ours\_1 & 55.6 {\scriptsize [54.1, 57.0]} & 120 \\" in lines
    assert r"WHAM & - & 7 \\" in lines
    assert r"\caption{5 \% of 3DPW}" in lines
    assert sum("begin" in line for line in lines) == sum("end{" in line for line in lines) == 2


def test_numbers_that_are_missing():
    assert [number(x, COLUMNS["mpjpe"]) for x in (None, float("nan"), 1.25)] == ["-", "-", "1.2"]
