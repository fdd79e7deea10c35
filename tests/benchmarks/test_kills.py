import pytest

from benchmarks import kills


@pytest.mark.slow
def test_a_training_that_is_killed_five_times_gives_the_same_bits():
    result = kills.measure(5, longest=1.0, seed=0)
    assert result["same_weights"] and result["same_losses"]
    assert result["resumed_after_step"] == sorted(result["resumed_after_step"])
    assert result["kills"] >= 1


def test_the_last_log_of_a_step_counts_and_a_cut_line_does_not(tmp_path):
    lines = ['{"step": 1, "train/total": 2.0}', '{"step": 2, "trai', '{"step": 1, "train/total": 3.0}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert kills.losses(tmp_path) == {1: 3.0}
    assert kills.newest(tmp_path) == 0
