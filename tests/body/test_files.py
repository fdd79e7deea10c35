import dataclasses
import errno
import os
import pickle
import tracemalloc
import zipfile

import jax
import numpy as np
import pytest

from hpof_jax.body import forward, load_body, save_body
from hpof_jax.body.coarse import decimate
from hpof_jax.body.files import FREE_BODY
from hpof_jax.errors import UserError
from hpof_jax.geometry.rotations import axis_angle_to_matrix


def assert_same(a, b):
    """The same structure and the same arrays, bit for bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("protocol", [0, 2])
def test_an_official_file_loads_without_chumpy(
    tmp_path, smpl_arrays, official, chumpy, python2_pickle, protocol
):
    (tmp_path / "SMPL_MALE.pkl").write_bytes(python2_pickle(official(smpl_arrays), protocol))
    chumpy.forget()
    body = load_body(tmp_path / "SMPL_MALE.pkl")
    assert body.name == "SMPL_MALE" and body.num_betas == 10
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor"):
        np.testing.assert_array_equal(getattr(body, name), smpl_arrays[name].astype(np.float32))
    np.testing.assert_array_equal(body.lbs_weights, smpl_arrays["weights"].astype(np.float32))
    np.testing.assert_array_equal(body.faces, smpl_arrays["f"].astype(np.int32))
    joints = smpl_arrays["J_regressor"] @ smpl_arrays["v_template"]
    np.testing.assert_allclose(body.J_template, joints, atol=1e-6)
    moved = np.einsum("jv,vck->kjc", smpl_arrays["J_regressor"], smpl_arrays["shapedirs"])
    np.testing.assert_allclose(body.J_shapedirs, moved, atol=1e-6)


def test_the_free_body_is_loaded_once_and_cannot_be_changed():
    body = load_body()
    assert load_body() is body and load_body(None, 10) is body and load_body(num_betas=4) is not body
    assert jax.jit(lambda: load_body(num_betas=3).v_template)().shape == (6890, 3)
    np.testing.assert_array_equal(load_body(num_betas=3).v_template, body.v_template)  # no tracer was kept
    for array in jax.tree.leaves(body):
        with pytest.raises((TypeError, ValueError)):
            array[0] = 0
        assert not np.asarray(array).flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        body.name = "mine"


def test_the_format_is_recognised_by_the_content(tmp_path, smpl_arrays, official):
    np.savez(tmp_path / "body.npz", **smpl_arrays)
    (tmp_path / "body.npz").rename(tmp_path / "body.pkl")
    (tmp_path / "body.npz").write_bytes(pickle.dumps(official(smpl_arrays)))
    assert_same(load_body(tmp_path / "body.pkl"), load_body(tmp_path / "body.npz"))


def test_the_number_of_shape_components(tmp_path, smpl_arrays):
    directions = np.random.default_rng(1).normal(size=(60, 3, 300))
    np.savez(tmp_path / "SMPL.npz", **smpl_arrays | {"shapedirs": directions})
    assert load_body(tmp_path / "SMPL.npz").num_betas == 10
    body = load_body(tmp_path / "SMPL.npz", num_betas=300)
    np.testing.assert_array_equal(body.shapedirs, directions.astype(np.float32))
    assert body.J_shapedirs.shape == (300, 24, 3)
    for count in (0, 301):
        with pytest.raises(UserError, match="SMPL.npz has 300 shape components: give num_betas from 1"):
            load_body(tmp_path / "SMPL.npz", num_betas=count)


def smplh_with_flat_fingers(arrays, betas, pose):
    """SMPL-H's vertices as in its paper, in float64, for rotations (22, 3, 3) of the body joints."""
    rotations = np.concatenate([pose, np.broadcast_to(np.eye(3), (30, 3, 3))])
    shaped = arrays["v_template"] + arrays["shapedirs"][..., :10] @ betas
    joints = arrays["J_regressor"] @ shaped
    posed = shaped + arrays["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(arrays["kintree_table"][0].astype(np.int32)):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = rotations[joint], joints[joint] - (joints[parent] if joint else 0)
        world.append(world[parent] @ local if joint else local)
    world = np.stack(world)
    placed = world[:, :3, 3].copy()
    world[:, :3, 3] -= np.einsum("jik,jk->ji", world[:, :3, :3], joints)
    blended = np.einsum("vj,jik->vik", arrays["weights"], world)
    return np.einsum("vik,vk->vi", blended[:, :3, :3], posed) + blended[:, :3, 3], placed


def test_smplh_is_a_body_with_stiff_fingers(tmp_path, smplh_arrays):
    np.savez(tmp_path / "model.npz", **smplh_arrays, hands_meanl=np.zeros(45))
    body = load_body(tmp_path / "model.npz")
    np.testing.assert_allclose(body.lbs_weights.sum(axis=1), 1, atol=1e-6)
    rng = np.random.default_rng(2)
    betas, pose = rng.normal(size=10), 0.5 * rng.normal(size=(24, 3))
    pose[22:] = 0  # the hands
    with jax.enable_x64():
        rotations = np.asarray(axis_angle_to_matrix(pose[:22]))
    vertices, joints = forward(body, betas, pose[0], pose[1:])
    want, want_joints = smplh_with_flat_fingers(smplh_arrays, betas, rotations)
    np.testing.assert_allclose(vertices, want, atol=1e-5)
    np.testing.assert_allclose(joints, want_joints[[*range(22), 25, 40]], atol=1e-5)

    bent, _ = forward(body, betas, pose[0], np.concatenate([pose[1:22], [[0, 0, 1.0], [0, 0, 0]]]))
    moved = np.linalg.norm(bent - vertices, axis=1)
    share = smplh_arrays["weights"][:, 22:37].sum(axis=1)  # of the left fingers, which the left hand moves
    assert (moved < 3 * share + 1e-5).all() and moved[share > 0.1].min() > 1e-3


def test_a_saved_body_loads_bit_for_bit(tmp_path, smpl_arrays, smplh_arrays):
    np.savez(tmp_path / "smpl.npz", **smpl_arrays)
    np.savez(tmp_path / "smplh.npz", **smplh_arrays)
    for body in (
        load_body(),
        load_body(tmp_path / "smpl.npz"),
        load_body(tmp_path / "smplh.npz", num_betas=16),
    ):
        save_body(body, tmp_path / "first.npz")
        again = load_body(tmp_path / "first.npz", body.num_betas)
        assert_same(body, again)
        save_body(again, tmp_path / "second.npz")
        assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_landmarks_of_smpls_own_files_are_vertices(tmp_path):
    """A file without a landmark regressor gets SMPL's vertices; the free body has the same number."""
    with np.load(FREE_BODY, allow_pickle=False) as file:
        np.savez(
            tmp_path / "smpl.npz", **{key: file[key] for key in file.files if key != "landmark_regressor"}
        )
    body = load_body(tmp_path / "smpl.npz")
    np.testing.assert_array_equal(np.flatnonzero(body.landmark_regressor[0]), [332])


def test_the_roots_parent_in_every_integer_type(tmp_path, smpl_arrays):
    for kind in (np.int32, np.int64, np.uint32, np.uint64):
        smpl_arrays["kintree_table"] = smpl_arrays["kintree_table"].astype(np.int32).astype(kind)
        np.savez(tmp_path / "body.npz", **smpl_arrays)
        load_body(tmp_path / "body.npz")


def spoilt(**changes):
    """The file with some arrays replaced by `change(array)`, or left out."""

    def spoil(path, arrays):
        arrays |= {key: change(arrays[key]) if change else None for key, change in changes.items()}
        np.savez(path, **{key: array for key, array in arrays.items() if array is not None})

    return spoil


def holding(content):
    return lambda path, arrays: path.write_bytes(content)


def cut(path, arrays):
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[:1000])


def cut_pickle(path, arrays):
    path.write_bytes(pickle.dumps(arrays)[:-1000])


def zipped(path, arrays):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("smpl/models/basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "")


def of_joints(count):
    return lambda weights: np.full((len(weights), count), 1 / count)


def with_nan(array):
    array = array.astype(np.float64)
    array.flat[-1] = np.nan
    return array


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, arrays: None, r"no body file at .*registration at smpl.is.tue.mpg.de; .* load_body\(\)"),
        (lambda path, arrays: path.mkdir(), "There is no body file at"),
        (holding(b""), "body.npz is empty"),
        (holding(b"no body"), "not a readable"),
        (holding(b"\r\n<!DOCTYPE html><html>Sign in</html>"), "is a web page"),
        (holding(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS"),
        (holding(b"\x1f\x8b\x08\x00\x00"), "packed archive"),
        (holding(b"\x93NUMPY\x01\x00"), "a single array"),
        (holding(pickle.dumps([1, 2])), r"not a readable body file \(it holds no dictionary\)"),
        (holding(pickle.dumps({"poses": np.zeros((4, 156))})), "no array 'weights'"),
        (holding(b"cos\nsystem\n(S'ls'\ntR."), "asks for os.system"),
        (cut, "not a readable"),
        (cut_pickle, "not a readable"),
        (zipped, r"not a readable body file \(it is an archive without arrays"),
        (spoilt(weights=None), "no array 'weights'"),
        (spoilt(kintree_table=None), "no array 'kintree_table'"),
        (spoilt(weights=of_joints(55)), "is SMPL-X, which is not supported"),
        (spoilt(weights=of_joints(16)), "is MANO, which is not supported"),
        (spoilt(weights=of_joints(30)), "is a model of 30 joints, which is not supported"),
        (spoilt(weights=lambda x: 2 * x), "'weights' in .* add up to 1"),
        (spoilt(v_template=lambda x: x[:, :2]), r"'v_template' in .* has shape \(60, 2\) instead of \(60, 3\)"),
        (spoilt(shapedirs=with_nan), "'shapedirs' in .* finite"),
        (spoilt(posedirs=lambda x: 1e300 * x), "'posedirs' in .* finite"),
        (spoilt(v_template=lambda x: x.astype(str)), "'v_template' in .* finite"),
        (spoilt(J_regressor=lambda x: np.array([print])), "not a readable .*an array of object"),
        (spoilt(posedirs=lambda x: x[..., :5]), "'posedirs' in .* 5 components instead of 0 or 207"),
        (spoilt(kintree_table=lambda x: x[:, ::-1]), "'kintree_table' in .* SMPL's tree"),
        (spoilt(kintree_table=lambda x: np.where(x == 12, 9, x)), "'kintree_table' in .* SMPL's tree"),
        (spoilt(f=lambda x: x + 60), "'f' in .* do not exist"),
        (spoilt(f=lambda x: x[:0]), "'f' in .* do not exist"),
        (spoilt(landmark_regressor=lambda x: x[:, 1:]), "'landmark_regressor' in .* has shape"),
        (spoilt(landmark_regressor=None), "60 vertices and not SMPL's 6890"),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_one_sentence(tmp_path, smpl_arrays, spoil, sentence):
    path = tmp_path / "body.npz"
    spoil(path, smpl_arrays)
    with pytest.raises(UserError, match=sentence) as error:
        load_body(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 2**24])
def test_a_small_file_takes_little_memory(tmp_path, monkeypatch, size):
    """A file that unpacks to a lot of data, and one whose header claims a lot."""
    monkeypatch.setattr("hpof_jax.body.files.LARGEST", 2**22)
    path = tmp_path / "body.npz"
    header = dict(descr="<f8", fortran_order=False, shape=(2**40, 3))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("v_template.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(size))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="unpacks to more than 4 MB" if size else "not a readable"):
            load_body(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_body_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    body, path = load_body(), tmp_path / "body.npz"
    path.write_text("the old one")

    def fill_the_disk(file, **arrays):
        file.write(b"PK half a file")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", fill_the_disk)
        with pytest.raises(UserError, match="The body cannot be written to .*make room on the disk"):
            save_body(body, path)
    assert path.read_text() == "the old one" and os.listdir(tmp_path) == ["body.npz"]
    with pytest.raises(UserError, match="The body cannot be written to .*nowhere.*No such file or directory"):
        save_body(body, tmp_path / "nowhere" / "body.npz")


def test_a_coarse_body_is_not_written(tmp_path):
    with pytest.raises(UserError, match="is a coarse body"):
        save_body(dataclasses.replace(decimate(load_body(), 200), name="doll"), tmp_path / "body.npz")
    assert not os.listdir(tmp_path)
