import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpof_jax.body import keypoint_basis, load_body
from hpof_jax.body import model as model_functions
from hpof_jax.body.coarse import decimate
from hpof_jax.body.keypoint_sets import landmark_regressor
from hpof_jax.body.skeletons import (
    KEYPOINT_SETS,
    SMPL_JOINTS,
    SMPL_MIRROR,
    keypoint_names,
    keypoint_parents,
    mirror_permutation,
)
from hpof_jax.errors import UserError
from hpof_jax.geometry.rotations import axis_angle_to_matrix

keypoints, skin = jax.jit(model_functions.keypoints), jax.jit(model_functions.skin)
MIRROR_X = np.array([-1.0, 1.0, 1.0])
# SMPL-X's vertex list for SMPL. The stand-in for SMPL has the free body's points at these vertices.
SMPL_VERTICES = dict(
    nose=332, left_eye=2800, right_eye=6260, left_ear=583, right_ear=4071, left_heel=3387, right_heel=6787,
    left_big_toe=3216, right_big_toe=6617, left_small_toe=3226, right_small_toe=6624, left_thumb=2746, right_thumb=6191,
    left_index=2319, right_index=5782, left_pinky=2673, right_pinky=6133,
)  # fmt: skip
EXTRA = "right_hip left_hip neck head_top_lsp pelvis thorax spine jaw head_top".split()


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def smpl(body):
    """A stand-in for SMPL: the free body with vertices in another order, and pose blend shapes."""
    known = at_rest(body, "spin49") | at_rest(body, "blazepose33")
    known |= {name.removesuffix("_openpose"): point for name, point in known.items() if "_toe" in name}
    order, template = np.arange(6890), np.asarray(body.v_template)
    for name, vertex in SMPL_VERTICES.items():
        same = np.linalg.norm(template[order] - known[name], axis=1).argmin()
        order[[vertex, same]] = order[[same, vertex]]
    basis = np.asarray(body.basis).reshape(11, 3, -1)[:, :, order].reshape(11, -1)
    blend_shapes = 1e-3 * np.random.default_rng(0).normal(size=(207, basis.shape[1]))
    joint_regressor = body.J_regressor[:, order]
    model = dataclasses.replace(
        body,
        basis=jnp.asarray(np.concatenate([basis, blend_shapes]), jnp.float32),
        skinning=body.skinning[:, order],
        J_regressor=joint_regressor,
        landmark_regressor=jnp.asarray(landmark_regressor(np.asarray(joint_regressor)), jnp.float32),
        name="SMPL_NEUTRAL",
    )
    return dataclasses.replace(model, landmarks=keypoint_basis(model, "blazepose33"))


def regressor_rows(model, names):
    """Rows over vertices, as in J_regressor_h36m.npy and J_regressor_extra.npy, with approximate points."""
    near = dict(spine="spine2", thorax="spine3", jaw="head", head_top="head", head_top_lsp="head")
    return np.asarray(model.J_regressor)[[SMPL_JOINTS.index(near.get(name, name)) for name in names]]


@pytest.fixture(scope="module")
def files(smpl, tmp_path_factory):
    folder = tmp_path_factory.mktemp("regressors")
    h36m = regressor_rows(smpl, keypoint_names("h36m17"))
    np.save(folder / "J_regressor_h36m_correct.npy", h36m)
    np.save(folder / "J_regressor_h36m.npy", h36m[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]])
    np.save(folder / "J_regressor_extra.npy", regressor_rows(smpl, EXTRA))
    return folder


def posed(model, name, rotations, betas=(0.0,) * 10, regressor=None):
    points, _ = keypoints(model, keypoint_basis(model, name, regressor), jnp.asarray(betas), rotations)
    return dict(zip(keypoint_names(name), np.asarray(points), strict=True))


def at_rest(model, name, betas=(0.0,) * 10, regressor=None):
    return posed(model, name, jnp.broadcast_to(jnp.eye(3), (24, 3, 3)), betas, regressor)


def some_pose(seed=0, size=0.4):
    return jax.jit(axis_angle_to_matrix)(
        jnp.asarray(np.random.default_rng(seed).normal(scale=size, size=(24, 3)))
    )


def test_points_of_a_data_set_on_the_free_body(body):
    basis = keypoint_basis(body, "coco17")
    points, joints = keypoints(body, basis, jnp.zeros((2, 10)), jnp.stack([some_pose(1), some_pose(2)]))
    assert points.shape == (2, 17, 3)
    knee = keypoint_names("coco17").index("left_knee")
    np.testing.assert_allclose(points[:, knee], joints[:, SMPL_JOINTS.index("left_knee")], atol=1e-6)


@pytest.mark.parametrize("name", KEYPOINT_SETS)
@pytest.mark.parametrize("betas", [np.zeros(10), np.full(10, 1.0), -2 * np.eye(10)[1]])
def test_every_set_is_symmetric_and_on_the_body(body, name, betas):
    points = np.stack(list(at_rest(body, name, betas).values()))
    mirror = mirror_permutation(keypoint_names(name))
    assert np.linalg.norm(points[mirror] * MIRROR_X - points, axis=1).max() < 0.01
    for index, point in enumerate(keypoint_names(name)):
        if point.startswith("left_"):
            assert points[index, 0] > 0.01
    vertices = np.asarray(body.v_template) + np.asarray(body.shapedirs) @ betas
    assert (points > vertices.min(0) - 1e-3).all() and (points < vertices.max(0) + 1e-3).all()


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_a_mirrored_pose_has_mirrored_points(body, name):
    rotations = some_pose(3)
    points = np.stack(list(posed(body, name, rotations).values()))
    flip = np.diag(MIRROR_X).astype(np.float32)
    mirrored = np.stack(list(posed(body, name, flip @ rotations[SMPL_MIRROR] @ flip).values()))
    expected = points[mirror_permutation(keypoint_names(name))] * MIRROR_X
    assert np.linalg.norm(mirrored - expected, axis=1).max() < 0.015


def test_the_free_bodys_vertices_are_what_their_names_say(body):
    template, points = np.asarray(body.v_template), at_rest(body, "spin49")
    np.testing.assert_allclose(points["head_top_lsp"], template[template[:, 1].argmax()], atol=1e-6)
    for side, sign in (("left", 1), ("right", -1)):
        foot = template[(template[:, 1] < -0.9) & (sign * template[:, 0] > 0)]
        big, small, heel = (points[f"{side}_{part}_openpose"] for part in ("big_toe", "small_toe", "heel"))
        np.testing.assert_allclose(big, foot[foot[:, 2].argmax()], atol=1e-6)
        assert sign * small[0] > (sign * foot[:, 0]).max() - 0.01
        assert big[2] - 0.06 < small[2] < big[2] - 0.02, "the little toe ends further back"
        assert heel[2] < foot[:, 2].min() + 0.01
    middle = at_rest(body, "openpose25")
    np.testing.assert_allclose(middle["mid_hip"], (middle["left_hip"] + middle["right_hip"]) / 2, atol=1e-6)
    np.testing.assert_allclose(
        middle["neck"], (middle["left_shoulder"] + middle["right_shoulder"]) / 2, atol=1e-6
    )


def test_bones_of_human36m_have_the_data_sets_lengths(body):
    """Lengths in mm, from the skeleton that comes with Human3.6M's angles."""
    names, parents = keypoint_names("h36m17"), keypoint_parents("h36m17")
    points = at_rest(body, "h36m17")
    own = dict(
        hip=133,
        knee=443,
        ankle=454,
        spine=233,
        neck=257,
        jaw=121,
        head_top=115,
        shoulder=151,
        elbow=279,
        wrist=252,
    )
    for name, parent in zip(names[1:], parents[1:], strict=True):
        length = 1e3 * np.linalg.norm(points[name] - points[names[parent]])
        assert length == pytest.approx(own[name.split("_", 1)[-1] if "t_" in name else name], rel=0.1), name
    np.testing.assert_allclose(points["pelvis"], (points["left_hip"] + points["right_hip"]) / 2, atol=1e-6)
    for name, point in at_rest(body, "lsp14").items():  # 3DPW's protocol takes Human3.6M's points
        np.testing.assert_allclose(point, points[name], atol=1e-6)


def test_points_of_the_head_are_in_order(body):
    points = at_rest(body, "spin49") | at_rest(body, "blazepose33")
    heights = [
        points[name][1] for name in ("thorax", "neck", "jaw", "left_mouth", "nose", "left_eye", "head_top")
    ]
    assert heights == sorted(heights)
    assert 0.05 < points["head_top_lsp"][1] - points["head_top"][1] < 0.1
    assert at_rest(body, "mpi_inf_3dhp17")["head_top"][1] == pytest.approx(points["head_top_lsp"][1])


def test_blazepose_is_the_bodys_own(body):
    rotations, betas = some_pose(4), jnp.ones(10)
    ours = keypoints(body, keypoint_basis(body, "blazepose33"), betas, rotations)
    for got, want in zip(ours, keypoints(body, body.landmarks, betas, rotations), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_coarse_body_takes_the_whole_ones_basis(body):
    coarse, rotations = decimate(body, 600), some_pose(5)
    basis = keypoint_basis(body, "h36m17")
    np.testing.assert_array_equal(
        keypoints(coarse, basis, jnp.ones(10), rotations)[0],
        keypoints(body, basis, jnp.ones(10), rotations)[0],
    )
    with pytest.raises(UserError, match="coarse body: make the keypoint basis of the whole one"):
        keypoint_basis(coarse, "h36m17")


def test_on_smpl_they_are_joints_and_vertices(smpl):
    betas, rotations = jnp.full(10, 0.5), some_pose(6)
    vertices, joints = (np.asarray(x) for x in skin(smpl, betas, rotations))
    joint = {name: joints[index] for index, name in enumerate(SMPL_JOINTS)}
    for name in ("coco17", "openpose25", "smpl24", "blazepose33"):
        for point, got in posed(smpl, name, rotations, betas).items():
            if point in joint:
                np.testing.assert_allclose(got, joint[point], atol=1e-6, err_msg=point)
            elif point in SMPL_VERTICES:
                np.testing.assert_allclose(got, vertices[SMPL_VERTICES[point]], atol=1e-5, err_msg=point)
    np.testing.assert_allclose(
        posed(smpl, "openpose25", rotations, betas)["mid_hip"], joint["pelvis"], atol=1e-6
    )


def test_on_smpl_the_others_are_the_rows_of_the_regressor_files(smpl, files):
    rotations = some_pose(7)
    vertices, joints = (np.asarray(x) for x in skin(smpl, jnp.zeros(10), rotations))
    h36m = np.load(files / "J_regressor_h36m_correct.npy") @ vertices
    h36m = dict(zip(keypoint_names("h36m17"), h36m, strict=True))
    for file in ("J_regressor_h36m_correct.npy", "J_regressor_h36m.npy"):  # right leg first, left leg first
        for name in ("h36m17", "lsp14", "mpi_inf_3dhp17"):
            for point, got in posed(smpl, name, rotations, regressor=files / file).items():
                np.testing.assert_allclose(got, h36m[point], atol=1e-5, err_msg=point)
    extra = dict(zip(EXTRA, np.load(files / "J_regressor_extra.npy") @ vertices, strict=True))
    spin = posed(smpl, "spin49", rotations, regressor=files / "J_regressor_extra.npy")
    for point in EXTRA:
        np.testing.assert_allclose(spin[point], extra[point], atol=1e-5, err_msg=point)
    for point in ("neck", "left_hip", "right_elbow"):  # of OpenPose's half, SPIN takes SMPL's own joints
        np.testing.assert_allclose(spin[f"{point}_openpose"], joints[SMPL_JOINTS.index(point)], atol=1e-6)
    np.testing.assert_allclose(spin["right_elbow"], joints[SMPL_JOINTS.index("right_elbow")], atol=1e-6)


def rows(shape=(17, 6890), value=1 / 6890):
    return lambda path, smpl: np.save(path, np.full(shape, value))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, smpl: None, "not a readable .npy"),
        (lambda path, smpl: path.write_bytes(b"no array"), "not a readable .npy"),
        (lambda path, smpl: np.save(path, np.array([print], dtype=object), allow_pickle=True), "not a readable .npy"),
        (rows((9, 6890)), r"does not hold \(17, 6890\) numbers"),
        (rows((17, 100)), r"does not hold \(17, 6890\) numbers"),
        (rows(value="a"), r"does not hold \(17, 6890\) numbers"),
        (rows(value=1.0), "do not add up to 1"),
        (rows(value=np.nan), "do not add up to 1"),
        (rows(value=np.inf), "do not add up to 1"),
        (rows(), "left and right points of h36m17 do not match"),
        (
            lambda path, smpl: np.save(path, np.roll(regressor_rows(smpl, keypoint_names("h36m17")), 1, axis=1)),
            "left and right points of h36m17 do not match",
        ),
    ],
)  # fmt: skip
def test_a_wrong_regressor_file_gets_one_sentence(tmp_path, smpl, spoil, sentence):
    path = tmp_path / "J_regressor_h36m.npy"
    spoil(path, smpl)
    with pytest.raises(UserError, match=sentence):
        keypoint_basis(smpl, "h36m17", path)


def test_a_header_that_claims_too_much_is_refused(tmp_path, smpl):
    path = tmp_path / "J_regressor_h36m.npy"
    np.save(path, np.zeros((17, 6890)))
    path.write_bytes(path.read_bytes().replace(b"(17, 6890)", b"(17, 9999)", 1))
    with pytest.raises(UserError, match="not a readable .npy"):
        keypoint_basis(smpl, "h36m17", path)


def test_what_does_not_fit_a_body_gets_one_sentence(body, smpl, files):
    with pytest.raises(UserError, match="no keypoint set 'coco': choose one of smpl24, coco17"):
        keypoint_basis(body, "coco")
    with pytest.raises(UserError, match=r"lsp14 on 'SMPL_NEUTRAL' needs SPIN's J_regressor_h36m.npy"):
        keypoint_basis(smpl, "lsp14")
    with pytest.raises(UserError, match=r"spin49 on 'SMPL_NEUTRAL' needs SPIN's J_regressor_extra.npy"):
        keypoint_basis(smpl, "spin49")
    for model, name in ((body, "h36m17"), (smpl, "coco17")):
        with pytest.raises(UserError, match="takes no regressor file"):
            keypoint_basis(model, name, files / "J_regressor_h36m.npy")
    with pytest.raises(UserError, match="left and right points of openpose25 do not match"):
        keypoint_basis(dataclasses.replace(body, name="not the free body's name"), "openpose25")
    few = dict(
        J_regressor=np.zeros((24, 100)), landmark_regressor=np.zeros((33, 100)), skinning=np.zeros((24, 100))
    )
    with pytest.raises(UserError, match="100 vertices and not SMPL's 6890"):
        keypoint_basis(dataclasses.replace(body, name="another", **few), "openpose25")
    with pytest.raises(UserError, match="100 vertices and not SMPL's 6890"):
        landmark_regressor(np.zeros((24, 100)))
