"""The results of `evaluate` and `scoring` as text and as LaTeX."""

from hpof_jax.tables import Column, latex_table, number, text_table
from hpof_jax.training.protocols import METRICS, PROTOCOLS

_LABELS = {
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "pve": "PVE",
    "pck_150": "PCK@150",
    "pck_50": "PCK@50",
    "acceleration_error": "accel",
    "betas_spread": "betas sd",
    "bone_spread": "bone sd",
    "limb_pa_mpjpe": "limbs PA",
    "detector_pa_mpjpe": "detector PA",
    "detector_acceleration_error": "detector accel",
    "coverage": "seen %",
    "clips": "clips",
    "frames": "frames",
}
COLUMNS = {key: Column(label, 0 if key in ("clips", "frames") else 1) for key, label in _LABELS.items()}


def rows_of(result: dict) -> dict[str, dict]:
    """The rows of a model's table: motion classes, sources, the mean, and its interval where there is one."""
    sources = result["sources"] if len(result["sources"]) > 1 else {}
    rows = {**result["classes"], **{f"[{name}]": row for name, row in sources.items()}}
    rows["overall"] = result["overall"]
    for end, name in enumerate(("95 % from", "95 % to")):
        if result["intervals"]:
            rows[name] = {key: ends[end] for key, ends in result["intervals"].items()}
    return rows


def format_table(result: dict) -> str:
    """The result of `evaluate` as a plain-text table, and its protocol."""
    protocol = ", ".join(f"{key}: {value}" for key, value in result["protocol"].items())
    return "\n".join([text_table(rows_of(result), _columns(result)), "", protocol])


def format_scores(result: dict) -> str:
    """The result of `scoring.score` as plain text: sequences, programs, and their rows in Markdown."""
    columns = _score_columns(result)
    rows: dict[str, dict] = {}
    lines = []
    for name, program in result["programs"].items():
        if len(program["sequences"]) > 1:
            rows |= {f"{name}: {sequence}": row for sequence, row in program["sequences"].items()}
    for name, program in result["programs"].items():
        rows[name] = program["overall"]
        for end, title in enumerate(("  95 % from", "  95 % to")):
            if program["intervals"]:
                rows[f"{name}{title}"] = {key: ends[end] for key, ends in program["intervals"].items()}
        numbers = (number(program["overall"].get(key), columns[key]) for key in columns if key in METRICS)
        lines.append(f"| {name} | " + " | ".join(numbers) + " |")
    units = ", ".join(f"{METRICS[key].label} in {METRICS[key].unit}" for key in columns if key in METRICS)
    title = f"{result['protocol']['title']}: {units}"
    page = ["Rows for the tables of docs/protocols.md:", *lines]
    return "\n".join([title, "", text_table(rows, columns), "", *page, *result["notes"]])


def format_latex(result: dict) -> str:
    """The table of `evaluate` or `scoring.score` for LaTeX."""
    if "programs" not in result:
        rows = {name: row for name, row in rows_of(result).items() if not name.startswith("95 %")}
        caption = f"{result['protocol']['joints']}; {result['protocol']['units']}."
        return latex_table(rows, _columns(result), {"overall": result["intervals"]}, caption)
    rows = {name: program["overall"] for name, program in result["programs"].items()}
    intervals = {name: program["intervals"] for name, program in result["programs"].items()}
    return latex_table(rows, _score_columns(result), intervals, f"{result['protocol']['title']}.")


def _columns(result: dict) -> dict[str, Column]:
    return {key: column for key, column in COLUMNS.items() if key in result["overall"]}


def _score_columns(result: dict) -> dict[str, Column]:
    """The protocol's metrics that some program has, in its order."""
    keys = PROTOCOLS[result["protocol"]["name"]].metrics
    there = [key for key in keys if any(key in program["overall"] for program in result["programs"].values())]
    columns = {key: Column(METRICS[key].label, METRICS[key].digits) for key in there}
    return columns | {"coverage": Column("frames %"), "frames": Column("frames", 0)}
