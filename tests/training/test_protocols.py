from hpof_jax.body.skeletons import keypoint_names
from hpof_jax.training.protocols import METRICS, PROTOCOLS


def test_every_protocol_names_joints_and_metrics_that_exist():
    for name, protocol in PROTOCOLS.items():
        points = keypoint_names(protocol.keypoints)
        assert set(protocol.root) <= set(points) and protocol.root, name
        assert set(protocol.metrics) <= METRICS.keys() and protocol.metrics, name
        assert protocol.frame in ("camera", "world"), name


def test_the_joints_of_the_benchmarks():
    counts = {name: len(keypoint_names(protocol.keypoints)) for name, protocol in PROTOCOLS.items()}
    assert counts == {
        "smpl24": 24, "3dpw": 14, "3dpw_smpl24": 24, "h36m_p1": 14, "h36m_p2": 14, "mpi_inf_3dhp": 17,
        "emdb1": 24, "emdb2": 24,
    }  # fmt: skip
    assert [name for name, protocol in PROTOCOLS.items() if protocol.frame == "world"] == ["emdb2"]


def test_the_origins_of_the_benchmarks():
    """VIBE, TCMR and WHAM take the middle of the hips; MPI-INF-3DHP's program and 3DPW's challenge take the pelvis."""
    pelvis = {name for name, protocol in PROTOCOLS.items() if protocol.root == ("pelvis",)}
    assert pelvis == {"smpl24", "3dpw_smpl24", "mpi_inf_3dhp"}
    assert {protocol.root for name, protocol in PROTOCOLS.items() if name not in pelvis} == {
        ("left_hip", "right_hip")
    }
