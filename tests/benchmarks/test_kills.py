import pytest

from benchmarks import kills


@pytest.mark.slow
def test_a_training_that_is_killed_five_times_gives_the_same_bits():
    result = kills.measure(5, longest=0.5, seed=0)
    assert result["same_weights"] and result["same_losses"]
    resumed = result["resumed_after_step"]
    assert resumed == sorted(resumed) and resumed[0] >= 1  # every kill is after a checkpoint
    assert result["kills"] >= 3


def test_the_last_log_of_a_step_counts_and_a_cut_line_does_not(tmp_path):
    lines = ['{"step": 1, "train/total": 2.0}', '{"step": 2, "trai', '{"step": 1, "train/total": 3.0}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert kills.losses(tmp_path) == {1: 3.0}


def test_the_newest_checkpoint_and_one_that_is_being_written(tmp_path):
    assert kills.newest(tmp_path) == 0 and not kills.unfinished(tmp_path)
    for name in ("9", "10"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert kills.newest(tmp_path) == 10 and not kills.unfinished(tmp_path)
    (tmp_path / "checkpoints" / "11.orbax-checkpoint-tmp").mkdir()
    assert kills.newest(tmp_path) == 10 and kills.unfinished(tmp_path)
