import shlex

import pytest

from configs import hpof
from hpof_jax import ablation_report
from hpof_jax.errors import UserError

COMMAND = ["python", "-m", "hpof_jax.ablate", *(f"--config.data.bvh=a folder/{i:030d}" for i in range(4))]


def result(score):
    table = dict.fromkeys(ablation_report.COLUMNS, 1.0) | {"pa_mpjpe": score, "clips": 2.0, "frames": 8.0}
    return {"domains": {"bvh:a": table}}


def test_a_report(tmp_path):
    results = {"full": [result(50.0), result(52.0)], "gru": [result(51.0), result(51.0)]}
    columns = {"parameters": {"full": 1_000, "gru": 2_000}}
    sources = {"bvh:a": 1.0, "synthetic": 0.5}
    config = hpof.get_config("ablation")
    descriptions = {"full": "all parts", "gru": "a GRU"}
    lines = ablation_report.preface(config, COMMAND, [*sources], (0, 1), descriptions, "1 x cpu")
    ablation_report.write(tmp_path / "report.md", lines, results, sources, columns)

    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| `full` | 1.0 ± 0.0 | 51.0 ± 1.4 |" in text and "| `gru` | 2,000 |" in text
    assert "### `bvh:a`, trained on with labels" in text and "Synthetic motion is generated" in text
    assert "1,000 training steps of 8 clips x 64 frames" in text and "seeds 0, 1: mean ±" in text
    assert "- `gru`: a GRU" in text and "![" in text
    assert max(map(len, text.splitlines())) <= 120
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_can_be_run_as_it_stands_in_the_report():
    lines = ablation_report.preface(hpof.get_config(), COMMAND, ["synthetic"], (0,), {})
    first, *block = lines[: lines[1:].index("```") + 1]
    assert first == "```" and len(block) > 1
    assert shlex.split("\n".join(block).replace("\\\n", "")) == COMMAND  # as a shell joins lines


def test_without_a_command_a_device_and_several_seeds():
    lines = ablation_report.preface(hpof.get_config(), [], ["bvh:a"], (3,), {"full": "all parts"})
    text = "\n".join(lines)
    assert "seed 3." in text
    assert not any(word in text for word in ("```", "Frames/s", "±", "Synthetic"))


def test_a_report_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="no folder .*absent to write report.md into"):
        ablation_report.merged(tmp_path / "absent" / "report.md", "", [])
    with pytest.raises(UserError, match="--report"):
        ablation_report.merged(tmp_path, "", [])
