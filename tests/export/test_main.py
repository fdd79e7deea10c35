"""The command `python -m hpof_jax.export`."""

import subprocess
import sys

from hpof_jax.export.__main__ import main


def test_the_command_writes_a_file_per_person_and_format(small_motion, tmp_path, monkeypatch):
    for folder in ("links", "rechts"):
        (tmp_path / folder).mkdir()
        small_motion.save(tmp_path / folder / "motion.npz")
    monkeypatch.chdir(tmp_path)
    words = "export links/motion.npz rechts/motion.npz --to bvh,glb --out o --camera-pitch -10 --names mixamo"
    monkeypatch.setattr(sys, "argv", words.split())
    main()
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        "links_motion.bvh",
        "people.glb",
        "rechts_motion.bvh",
    ]


def test_wrong_input_ends_the_command_with_one_sentence(tmp_path):
    command = [sys.executable, "-m", "hpof_jax.export", "absent.npz", "--out", tmp_path / "o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no motion file at") and done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
