import collections

from hpof_jax.timing import interleaved


def test_functions_take_turns_after_two_calls_that_do_not_count():
    order = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert {name: [len(spent[clock]) for clock in ("wall", "cpu")] for name, spent in times.items()} == {
        "a": [3, 3],
        "b": [3, 3],
    }
    counted = order[4:]  # each function is called twice before the first round
    assert counted == ["a", "b", "b", "a", "a", "b"]
    assert collections.Counter(order) == {"a": 5, "b": 5}
