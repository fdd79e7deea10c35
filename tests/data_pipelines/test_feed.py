import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.feed import as_dataset

ROOT = pathlib.Path(__file__).parents[2]


def test_steps_come_in_order_from_the_start_step():
    dataset = as_dataset(
        lambda step: {"step": np.full((2, 3), step, np.float32), "even": np.array(step % 2 == 0)}, 5
    )
    for _ in range(2):  # each iterator starts at the start step
        batches = [batch for batch, _ in zip(dataset.as_numpy_iterator(), range(4))]
        assert [float(batch["step"][0, 0]) for batch in batches] == [5, 6, 7, 8]
        assert [bool(batch["even"]) for batch in batches] == [False, True, False, True]
    assert dataset.element_spec["step"].shape == (2, 3)


@pytest.mark.slow  # a second interpreter imports TensorFlow
def test_a_program_ends_while_a_batch_is_being_made():
    code = """
import threading
import numpy as np
from data_pipelines.feed import as_dataset

begun = threading.Event()

def make(step):
    if step == 2:
        begun.set()
        sum(range(20_000_000))  # still running when the program ends
    return {"x": np.zeros(3)}

iterator = as_dataset(make, 0).as_numpy_iterator()
next(iterator)
begun.wait(60)
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr
