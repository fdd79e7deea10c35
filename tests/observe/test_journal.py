import logging

import numpy as np
import pytest

from hpof_jax.observe.blazepose import Pose, Region
from hpof_jax.observe.journal import JournaledBlazePose

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
SQUARES = [(40.0, 30.0, 50.0), (20.0, 30.0, 40.0)]
REGION = Region(40.0, 30.0, 40.0, 0.1)


class Net:
    """Gives other answers to each question, and counts the questions."""

    def __init__(self):
        self.asked = 0

    def detect(self, image, square):
        self.asked += 1
        return [Region(square[0], 1 / 3, square[2], 0.1)] * (self.asked % 3)

    def landmarks(self, image, region):
        self.asked += 1
        rng = np.random.default_rng(self.asked)
        return Pose(
            landmarks_2d=rng.normal(size=(33, 3)).astype(np.float32),
            landmarks_3d=rng.normal(size=(33, 3)).astype(np.float32),
            score=float(rng.random()),
            region=Region(*map(float, rng.random(4))),
            crop=np.zeros((256, 256, 3), np.uint8),
            to_frame=region.to_frame(),
            mask_logits=rng.normal(0, 9, (256, 256)).astype(np.float32),
        )


def ask(net, count):
    answers = []
    for number in range(count):
        answers.append(net.detect(IMAGE, SQUARES[number % 2]))
        answers.append(net.landmarks(IMAGE, REGION))
    return answers


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        if isinstance(a, list):
            assert a == b
            continue
        np.testing.assert_array_equal(a.landmarks_2d, b.landmarks_2d)
        np.testing.assert_array_equal(a.landmarks_3d, b.landmarks_3d)
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_array_equal(a.mask_logits > 0, b.mask_logits > 0)
        assert (a.score, a.region) == (b.score, b.region)


def test_a_second_run_reads_what_the_first_one_found(tmp_path):
    path, net = tmp_path / "a.journal", Net()
    with JournaledBlazePose(path, lambda: net) as journaled:
        first = ask(journaled, 3)
    with JournaledBlazePose(path, lambda: net) as journaled:
        again = ask(journaled, 3)
        assert net.asked == 6 and journaled.replayed == 6
        ask(journaled, 1)
        assert net.asked == 8
    assert_equal(first, again)


@pytest.mark.parametrize("left", [0, 10, 500, -1, -2000])
def test_a_journal_that_is_cut_off_is_continued(tmp_path, left):
    path, net = tmp_path / "a.journal", Net()
    with JournaledBlazePose(path, lambda: net) as journaled:
        first = ask(journaled, 4)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    net.asked = 0

    class Rest(Net):
        def __getattribute__(self, name):
            if name in ("detect", "landmarks"):
                object.__setattr__(self, "asked", max(self.asked, journaled.replayed))
            return object.__getattribute__(self, name)

    with JournaledBlazePose(path, Rest) as journaled:
        assert_equal(first, ask(journaled, 4))
    assert path.read_bytes() == whole


def test_another_question_drops_the_rest(tmp_path):
    path, net = tmp_path / "a.journal", Net()
    with JournaledBlazePose(path, lambda: net) as journaled:
        ask(journaled, 2)
    with JournaledBlazePose(path, lambda: net) as journaled:
        journaled.detect(IMAGE, SQUARES[0])
        journaled.detect(IMAGE, SQUARES[1])
        assert journaled.replayed == 1 and net.asked == 5
    with JournaledBlazePose(path, lambda: net) as journaled:
        journaled.detect(IMAGE, SQUARES[0])
        journaled.detect(IMAGE, SQUARES[1])
        assert journaled.replayed == 2 and net.asked == 5


def test_a_journal_that_cannot_be_written_is_not_used(tmp_path, caplog):
    with (
        caplog.at_level(logging.WARNING, logger="absl"),
        JournaledBlazePose(tmp_path / "nowhere" / "a.journal", Net) as journaled,
    ):
        assert len(ask(journaled, 2)) == 4
    assert "An interrupted run will begin again" in caplog.text


def test_a_journal_in_use_is_left_alone(tmp_path):
    path = tmp_path / "a.journal"
    with JournaledBlazePose(path, Net) as one:
        ask(one, 1)
        with JournaledBlazePose(path, Net) as other:
            ask(other, 2)
        ask(one, 1)
    with JournaledBlazePose(path, Net) as journaled:
        ask(journaled, 1)
        ask(journaled, 1)
        assert journaled.replayed == 4


def test_a_finished_journal_is_removed(tmp_path):
    with JournaledBlazePose(tmp_path / "a.journal", Net) as journaled:
        ask(journaled, 1)
        journaled.remove()
    assert not any(tmp_path.iterdir())


def test_an_empty_answer_is_not_taken_for_one_of_landmarks(tmp_path):
    path, net = tmp_path / "a.journal", Net()
    with JournaledBlazePose(path, lambda: net) as journaled:
        first = journaled.landmarks(IMAGE, REGION)
    content = bytearray(path.read_bytes())
    content[33:41] = bytes(8)  # the length and the checksum
    path.write_bytes(content)
    net.asked = 0
    with JournaledBlazePose(path, lambda: net) as journaled:
        assert_equal([first], [journaled.landmarks(IMAGE, REGION)])
        assert journaled.replayed == 0
