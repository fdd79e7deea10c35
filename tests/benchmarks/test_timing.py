import collections

from benchmarks import timing


def test_ways_take_turns_after_an_uncounted_round():
    order = []
    times = timing.interleaved({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert {way: [len(spent[clock]) for clock in ("wall", "cpu")] for way, spent in times.items()} == {
        "a": [3, 3],
        "b": [3, 3],
    }
    counted = order[4:]  # each way is called twice before the first round
    assert counted == ["a", "b", "b", "a", "a", "b"]
    assert collections.Counter(order) == {"a": 5, "b": 5}


def test_a_ratio_is_the_median_over_rounds():
    times = {"slow": {"wall": [2.0, 9.0, 4.0]}, "fast": {"wall": [1.0, 1.0, 2.0]}}
    assert timing.ratio(times, "slow", to="fast") == 2.0
