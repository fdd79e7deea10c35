import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from data_pipelines.device import cpu
from hpof_jax.errors import UserError

PROCESS = """
import sys
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
import numpy as np
from data_pipelines import stream
options = stream.StreamOptions(2, 6, flow="exact", flow_frames=2)
make = stream.batch_maker({"synthetic": 1.0}, options, jax.process_index())
np.savez(sys.argv[3], processes=jax.process_count(), **make(0))
"""


def test_the_device_is_a_cpu_of_this_process():
    assert cpu().platform == "cpu" and cpu() in jax.local_devices(backend="cpu")


def test_without_a_cpu_backend_the_error_says_what_to_set(monkeypatch):
    def missing(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", missing)
    with pytest.raises(UserError, match="Unknown backend cpu.*JAX_PLATFORMS"):
        cpu()


@pytest.mark.slow
def test_every_process_of_a_training_makes_its_own_batch(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    files = [tmp_path / f"{index}.npz" for index in range(2)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, address, str(index), file],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, file in enumerate(files)
    ]
    for process in processes:
        _, complaint = process.communicate()
        assert process.returncode == 0, complaint
    first, second = (np.load(file) for file in files)
    assert first["processes"] == second["processes"] == 2
    assert first["landmarks_2d"].shape == second["landmarks_2d"].shape == (2, 6, 33, 3)
    assert not np.array_equal(first["pose"], second["pose"])
    assert first["has_flow"].all() and second["has_flow"].all()
