import numpy as np
import pytest

from data_pipelines.motion.bvh_format import forward, parse_bvh
from hpof_jax.errors import UserError
from tests.data_pipelines.motion.conftest import ONE_JOINT

ARM = """HIERARCHY
ROOT shoulder
{
OFFSET 0 0 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
JOINT elbow
{
OFFSET 2 0 0
CHANNELS 3 Zrotation Xrotation Yrotation
End Site
{
OFFSET 1 0 0
}
}
}
MOTION
Frames: 2
Frame Time: 0.04
0 5 0 0 0 0 0 0 0
1 5 0 90 0 0 -90 0 0
"""


def test_the_smallest_file_parses():
    file = parse_bvh(ONE_JOINT)
    assert file.names == ("a",) and file.fps == pytest.approx(10) and file.motion.tolist() == [[1, 2, 3]]


def test_forward_kinematics_of_an_arm():
    file = parse_bvh(ARM)
    assert file.names == ("shoulder", "elbow", "") and file.parents == (-1, 0, 1)
    rotations, positions = forward(file)
    np.testing.assert_allclose(positions[0], [[0, 5, 0], [2, 5, 0], [3, 5, 0]], atol=1e-12)
    np.testing.assert_allclose(positions[1], [[1, 5, 0], [1, 7, 0], [2, 7, 0]], atol=1e-12)
    np.testing.assert_allclose(rotations[1, 1], np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(forward(file, np.array([1]))[1], positions[1:])


@pytest.mark.parametrize(
    "old, new",
    [
        ("MOTION", "MOVES"),
        ("1 2 3", "1 2"),
        ("1 2 3", "1 2 x"),
        ("1 2 3", "1 2 nan"),
        ("Frames: 1", "Frames: many"),
        ("Frame Time: 0.1", "Frame Time: 0"),
        ("OFFSET 0 0 0", "OFFSET 0 0"),
        ("Yrotation", "Yscale"),
        ("CHANNELS 3", "CHANNELS 4"),
        ("}", ""),
        ("ROOT a", "JOINT a"),
        ("OFFSET", "OFSET"),
    ],
)
def test_broken_files_are_named(old, new):
    with pytest.raises(UserError, match="broken.bvh"):
        parse_bvh(ONE_JOINT.replace(old, new), "broken.bvh")
