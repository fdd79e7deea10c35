"""The shipped free body, and the parts of its build that need no download."""

import numpy as np
import pytest

from hpof_jax.body.files import FREE_BODY
from hpof_jax.body.skeletons import (
    BLAZEPOSE_LANDMARKS,
    BLAZEPOSE_MIRROR,
    SMPL_JOINTS,
    SMPL_MIRROR,
    SMPL_PARENTS,
)

MIRROR_X = np.array([-1.0, 1.0, 1.0])


def shaped(body, betas):
    return body["v_template"] + body["shapedirs"] @ betas


def volume(vertices, faces):
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.einsum("fc,fc->", a, np.cross(b, c)) / 6


def winding_number(point, vertices, faces):
    """1 inside a closed surface, 0 outside (van Oosterom and Strackee 1983)."""
    a, b, c = (vertices[faces] - point).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    ab, bc, ca = ((x * y).sum(axis=1) for x, y in ((a, b), (b, c), (c, a)))
    angle = np.arctan2((a * np.cross(b, c)).sum(axis=1), la * lb * lc + ab * lc + bc * la + ca * lb)
    return angle.sum() / (2 * np.pi)


def test_it_has_smpls_arrays(body):
    shapes = dict(
        v_template=(6890, 3),
        shapedirs=(6890, 3, 10),
        posedirs=(6890, 3, 0),
        J_regressor=(24, 6890),
        weights=(6890, 24),
        kintree_table=(2, 24),
        f=(13776, 3),
        landmark_regressor=(33, 6890),
        gender=(),
        name=(),
    )
    assert {key: value.shape for key, value in body.items()} == shapes
    assert all(np.all(np.isfinite(value)) for value in body.values() if value.dtype.kind == "f")
    np.testing.assert_array_equal(body["kintree_table"], [SMPL_PARENTS, np.arange(24)])
    assert (str(body["gender"]), str(body["name"])) == ("neutral", "free_body")
    assert FREE_BODY.stat().st_size < 2e6


def test_it_is_one_closed_surface(body):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = body["f"].astype(np.int64)
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    directed = edges[:, 0] * len(body["v_template"]) + edges[:, 1]
    opposite = edges[:, 1] * len(body["v_template"]) + edges[:, 0]
    assert len(np.unique(directed)) == len(directed)  # no edge twice in the same direction
    np.testing.assert_array_equal(np.sort(directed), np.sort(opposite))  # each edge once in each direction
    assert len(np.unique(faces)) - len(edges) // 2 + len(faces) == 2  # Euler's characteristic of a sphere
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(6890, 6890))
    assert connected_components(graph)[0] == 1


def test_it_has_an_adults_volume_and_faces_outwards(body):
    assert 0.060 < volume(body["v_template"], body["f"]) < 0.080
    for component in range(10):
        for beta in (-2.0, 2.0):
            assert 0.040 < volume(shaped(body, beta * np.eye(10)[component]), body["f"]) < 0.110


def test_height_of_every_shape_within_two_deviations(body):
    # A positive beta 0 is a taller person.
    assert np.ptp(body["v_template"][:, 1]) == pytest.approx(1.70, abs=0.02)
    assert np.ptp(shaped(body, 2.0 * np.eye(10)[0])[:, 1]) > np.ptp(body["v_template"][:, 1]) + 0.1
    # Exact over the whole cube |beta| <= 2: each pair of a high and a low vertex is at its extreme in some corner.
    y, dirs = body["v_template"][:, 1], body["shapedirs"][:, 1]
    top, bottom = np.flatnonzero(y > y.max() - 0.06), np.flatnonzero(y < y.min() + 0.06)
    gap = y[top, None] - y[bottom]
    reach = 2 * sum(np.abs(dirs[top, None, k] - dirs[bottom, k]) for k in range(10))
    assert (gap + reach).max() < 2.05
    assert (gap - reach).max() > 1.45
    betas = np.clip(np.random.default_rng(0).standard_normal((200, 10)), -2, 2)
    heights = np.array([np.ptp(y + dirs @ b) for b in betas])
    assert 1.68 < heights.mean() < 1.72 and 1.45 < heights.min() and heights.max() < 2.05
    assert 0.06 < heights.std() < 0.11


def test_rest_pose_is_smpls_t_pose(joints):
    def direction(start, end):
        return (joints[end] - joints[start]) / np.linalg.norm(joints[end] - joints[start])

    np.testing.assert_allclose(joints["pelvis"], 0, atol=0.002)
    for side, sign in (("left", 1), ("right", -1)):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "wrist")):
            x, y, z = direction(f"{side}_{start}", f"{side}_{end}")
            assert sign * x > 0.98 and abs(y) < 0.1 and abs(z) < 0.15
        assert direction(f"{side}_hip", f"{side}_knee") @ direction(f"{side}_knee", f"{side}_ankle") > 0.98
        assert direction(f"{side}_hip", f"{side}_ankle")[1] < -0.99
        assert sign * (joints[f"{side}_ankle"] - joints[f"{side}_hip"])[0] > 0  # legs slightly apart
        x, _, z = direction(f"{side}_ankle", f"{side}_foot")
        assert z > 0.8 and abs(x) < 0.3
    assert joints["pelvis"][1] < joints["spine1"][1] < joints["spine2"][1] < joints["spine3"][1]
    assert joints["spine3"][1] < joints["left_collar"][1] < joints["neck"][1] < joints["head"][1]


def test_palms_face_down_and_thumbs_forward(landmarks):
    for side, sign in (("left", 1), ("right", -1)):
        to_pinky, to_index = (
            landmarks[f"{side}_{f}"] - landmarks[f"{side}_wrist"] for f in ("pinky", "index")
        )
        palm = sign * np.cross(to_pinky, to_index)
        assert palm[1] < -0.85 * np.linalg.norm(palm)
        assert landmarks[f"{side}_index"][2] > landmarks[f"{side}_pinky"][2] + 0.03
        assert landmarks[f"{side}_thumb"][2] > landmarks[f"{side}_index"][2]


def test_left_mirrors_right(body):
    for key, mirror in (("J_regressor", SMPL_MIRROR), ("landmark_regressor", BLAZEPOSE_MIRROR)):
        for betas in (np.zeros(10), np.full(10, 1.0), np.full(10, -1.0)):
            points = body[key] @ shaped(body, betas)
            assert np.linalg.norm(points[mirror] * MIRROR_X - points, axis=1).max() < 0.01


@pytest.mark.parametrize(
    "betas", [0 * np.eye(10)[0], 2 * np.eye(10)[0], 2 * np.eye(10)[1], -2 * np.eye(10)[1]]
)
def test_regressors_are_averages_and_joints_lie_inside(body, betas):
    for regressor in (body["J_regressor"], body["landmark_regressor"]):
        np.testing.assert_allclose(regressor.sum(axis=1), 1, atol=1e-5)
        assert regressor.min() >= 0
    vertices = shaped(body, betas)
    for name, joint in zip(SMPL_JOINTS, body["J_regressor"] @ vertices, strict=True):
        assert winding_number(joint, vertices, body["f"]) > 0.5, name


def test_skin_weights(body, joints):
    weights = body["weights"]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.min() >= 0 and np.count_nonzero(weights, axis=1).max() <= 4
    names = np.array(SMPL_JOINTS)[weights.argmax(axis=1)]
    assert set(names) == set(SMPL_JOINTS)
    # The skin of each joint lies around the bone that starts there; left and right do not mix.
    for name, joint in joints.items():
        if name.startswith("left_"):
            assert body["v_template"][names == name, 0].min() > -0.01
        assert np.linalg.norm(body["v_template"][names == name] - joint, axis=1).min() < 0.2
    edges = body["f"][:, [0, 1]]
    assert np.abs(weights[edges[:, 0]] - weights[edges[:, 1]]).max() < 0.6  # smooth along the surface


def test_landmarks_are_where_blazepose_has_them(landmarks, joints, body):
    head, ground = joints["head"], body["v_template"][:, 1].min()
    assert landmarks["nose"][2] > head[2] + 0.07 and abs(landmarks["nose"][0]) < 0.005
    for side, sign in (("left", 1), ("right", -1)):
        inner, eye, outer = (sign * landmarks[f"{side}_{p}"][0] for p in ("eye_inner", "eye", "eye_outer"))
        assert 0.005 < inner < eye < outer < sign * landmarks[f"{side}_ear"][0] < 0.1
        assert sign * landmarks[f"{side}_mouth"][0] > 0.01
        assert landmarks[f"{side}_mouth"][1] < landmarks["nose"][1] < landmarks[f"{side}_eye"][1]
        assert landmarks[f"{side}_ear"][2] < landmarks[f"{side}_eye"][2] < landmarks["nose"][2]
        heel, ankle, toe = (landmarks[f"{side}_{p}"] for p in ("heel", "ankle", "foot_index"))
        assert heel[2] < ankle[2] < toe[2] and toe[2] - heel[2] > 0.18
        assert max(heel[1], toe[1]) < ground + 0.05
        assert sign * landmarks[f"{side}_index"][0] > sign * landmarks[f"{side}_wrist"][0] + 0.05
    for name in set(SMPL_JOINTS) & set(BLAZEPOSE_LANDMARKS):
        np.testing.assert_allclose(landmarks[name], joints[name], atol=1e-6)


def test_bent_limbs_keep_their_volume(body):
    """Linear blend skinning loses volume where weights are bad: knees, elbows and hips bent by 90 degrees."""
    from hpof_jax.body.files import load_body
    from hpof_jax.body.model import forward

    pose = np.zeros((24, 3), np.float32)
    for name, rotvec in (("hip", (-90, 0, 0)), ("knee", (90, 0, 0)), ("elbow", (0, -90, 0))):
        for side, mirror in (("left", (1, 1, 1)), ("right", (1, -1, -1))):
            pose[SMPL_JOINTS.index(f"{side}_{name}")] = np.deg2rad(rotvec) * mirror
    vertices, _ = forward(load_body(), np.zeros(10, np.float32), pose[0], pose[1:])
    vertices = np.asarray(vertices, np.float64)
    assert volume(vertices, body["f"]) > 0.9 * volume(body["v_template"], body["f"])
    forearm = body["weights"][:, SMPL_JOINTS.index("left_wrist")] > 0.9
    assert vertices[forearm, 2].min() > 0.1  # forward
    shin = body["weights"][:, SMPL_JOINTS.index("left_ankle")] > 0.9
    assert vertices[shin, 1].max() < -0.2 and vertices[shin, 2].min() > 0.2  # below and before the pelvis


def test_shape_basis_puts_all_of_the_stature_into_the_first_component():
    from hpof_jax.body.build.free_body import shape_basis

    rng = np.random.default_rng(0)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    points = rng.standard_normal((50, 6, 3)) + 5 * np.eye(6, 3)
    stature = points[:, 0, 1] - points[:, 3, 1]
    basis = shape_basis(points, stature, faces)
    height = basis[:, 0, 1] - basis[:, 3, 1]
    assert height[1] == pytest.approx(stature.std())
    np.testing.assert_allclose(height[2:], 0, atol=1e-9)
    np.testing.assert_array_equal(basis, shape_basis(points, stature, faces))


def test_regress_finds_a_point_that_follows_the_shape():
    from hpof_jax.body.build.free_body import regress

    rng = np.random.default_rng(0)
    basis = 0.1 * rng.standard_normal((4, 30, 3))
    truth = np.zeros(30)
    truth[[3, 8, 20]] = 0.2, 0.5, 0.3
    target = np.einsum("v,kvc->kc", truth, basis)
    candidate = np.arange(30) < 25
    row = regress(basis, target, candidate)
    np.testing.assert_allclose(np.einsum("v,kvc->kc", row, basis), target, atol=0.003)
    assert row.sum() == pytest.approx(1) and row.min() >= 0 and not row[~candidate].any()
    np.testing.assert_array_equal(row, regress(basis, target, candidate))


def test_at_most_four_keeps_the_largest():
    from hpof_jax.body.build.free_body import at_most_four

    weights = at_most_four(np.array([[0.4, 0.3, 0.1, 0.1, 0.06, 0.04]]))
    np.testing.assert_allclose(weights, [[0.4444, 0.3333, 0.1111, 0.1111, 0, 0]], atol=2e-4)
    assert weights.sum() == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.network
def test_the_build_gives_the_shipped_file(tmp_path):
    pytest.importorskip("fast_simplification")
    pytest.importorskip("trimesh")
    from hpof_jax.body.build.free_body import main

    out = tmp_path / "free_body.npz"
    main(["--out", str(out)])
    with np.load(out, allow_pickle=False) as built, np.load(FREE_BODY, allow_pickle=False) as shipped:
        assert set(built) == set(shipped)
        for key in built:
            if built[key].dtype.kind == "f":
                np.testing.assert_allclose(built[key], shipped[key], atol=2e-5)
            else:
                np.testing.assert_array_equal(built[key], shipped[key])
