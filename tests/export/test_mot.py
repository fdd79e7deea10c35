"""MOT files, read line by line as OpenSim's format says."""

import numpy as np

from hpof_jax.body import load_body
from hpof_jax.body.joint_angles import joint_angles
from hpof_jax.export import mot
from hpof_jax.export.constant_rate import at_constant_rate
from hpof_jax.export.skeleton import Y_UP
from hpof_jax.world import to_world


def test_the_coordinates_of_a_model_are_columns(small_motion, tmp_path):
    world = to_world(small_motion, load_body())
    mot.write(tmp_path / "a.mot", world, load_body())
    lines = (tmp_path / "a.mot").read_text(encoding="utf-8").splitlines()
    end = lines.index("endheader")
    header = dict(line.split("=") for line in lines[:end] if "=" in line)
    names, rows = lines[end + 1].split("\t"), [line.split("\t") for line in lines[end + 2 :]]
    values = dict(zip(names, np.array(rows, float).T, strict=True))
    even = at_constant_rate(world, load_body())
    assert lines[0] == "Coordinates" and header["inDegrees"] == "yes" and names[0] == "time"
    assert (int(header["nRows"]), int(header["nColumns"])) == (len(even), len(names))
    np.testing.assert_allclose(values["time"], even.times, atol=1e-6)
    expected = joint_angles(even.pose)
    for name in ("hip_adduction_l", "knee_angle_r", "lumbar_extension", "arm_rot_r", "pro_sup_l"):
        np.testing.assert_allclose(values[name], expected[name], atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(values["L5_S1_Flex_Ext"], values["lumbar_extension"])
    # The pelvis's origin is in front of the hips and above them.
    pelvis = np.stack([values[f"pelvis_t{axis}"] for axis in "xyz"], axis=1)
    from_hips = pelvis - even.joints[:, [1, 2]].mean(axis=1) @ Y_UP.T
    np.testing.assert_allclose(np.linalg.norm(from_hips, axis=1), np.hypot(mot.FORWARD, mot.UP), atol=1e-5)
    assert np.all(from_hips[:, 1] > 0.05) and np.all(
        from_hips[:, 2] > 0.02
    )  # faces the camera, which is along z
