from benchmarks import inference


def test_each_model_is_compared_with_ours_by_cpu_time(capsys):
    rates = {"frames_per_second": 9000.0, "frames_per_cpu_second": 4000.0, "times_real_time": 300.0}
    sizes = {
        size: {"shape": [*shape], "hpof": rates, "mean pose": rates | {"frames_per_cpu_second": 10000.0}}
        for size, shape in inference.SIZES.items()
    }
    inference.show({"device": "cpu", **sizes})
    heading, ours, other, *_ = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading[0] == "cpu" and ours[-4:] == ["9,000", "4,000", "300", "1.00"]
    assert other[-4:] == ["9,000", "10,000", "300", "2.50"]
