import pytest

from launch.job import Command, Slice


@pytest.mark.parametrize(
    ("name", "hosts", "chips", "topology", "machine"),
    [
        ("v5litepod-16", 4, 4, "4x4", "ct5lp-hightpu-4t"),
        ("v5litepod-1", 1, 1, "1x1", "ct5lp-hightpu-1t"),
        ("v5litepod-8", 2, 4, "2x4", "ct5lp-hightpu-4t"),
        ("v5litepod-256", 64, 4, "16x16", "ct5lp-hightpu-4t"),
        ("v6e-32", 8, 4, "4x8", "ct6e-standard-4t"),
        ("v4-8", 1, 4, "2x2x1", "ct4p-hightpu-4t"),
        ("v4-32", 4, 4, "2x2x4", "ct4p-hightpu-4t"),
        ("v4-128", 16, 4, "4x4x4", "ct4p-hightpu-4t"),
        ("v5p-64", 8, 4, "2x4x4", "ct5p-hightpu-4t"),
    ],
)
def test_an_accelerator_type_in_the_words_of_gke(name, hosts, chips, topology, machine):
    """The number counts chips for v5litepod and v6e, and cores, two for each chip, for the others."""
    found = Slice.of(name)
    assert (found.hosts, found.chips_per_host, found.topology, found.machine) == (
        hosts,
        chips,
        topology,
        machine,
    )


@pytest.mark.parametrize(
    "name", ["v5litepod", "v5litepod-", "v5litepod-0", "v5litepod-12", "v4-1", "v99-8", "H100:8"]
)
def test_other_types_are_refused(name):
    with pytest.raises(ValueError, match="there is no TPU type"):
        Slice.of(name)


def test_a_command_prints_as_shell_text():
    assert str(Command(("echo", "a b", "$x"))) == "echo 'a b' '$x'"
    assert str(Command(("cat",), stdin="x\n")) == "cat <<'END'\nx\nEND"
    assert str(Command(("state",), until="READY")) == 'until [ "$(state)" = READY ]; do sleep 30; done'
