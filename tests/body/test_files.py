import jax
import numpy as np
import pytest

from hpof_jax.body import load_body, save_body
from hpof_jax.body.files import FREE_BODY
from hpof_jax.errors import UserError


@pytest.fixture(scope="module")
def arrays():
    with np.load(FREE_BODY, allow_pickle=False) as file:
        return dict(file)


def test_a_body_reads_back_as_it_was_written(tmp_path):
    body = load_body()
    save_body(body, tmp_path / "body.npz")
    again = load_body(tmp_path / "body.npz")
    for name in ("basis", "lbs_weights", "faces", "J_regressor"):
        np.testing.assert_array_equal(getattr(body, name), getattr(again, name))
    for a, b in zip(jax.tree.leaves(body.landmarks), jax.tree.leaves(again.landmarks), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["body.npz"]


def test_smpls_own_files_have_no_landmarks_but_vertex_picks(tmp_path, arrays):
    """A file without our landmark regressor gets SMPL's vertices (the free body has as many)."""
    smpl = {key: value for key, value in arrays.items() if key != "landmark_regressor"}
    np.savez(tmp_path / "smpl.npz", **smpl)
    body = load_body(tmp_path / "smpl.npz")
    assert body.landmarks.collect.shape[0] == 33


def _cut(path):
    path.write_bytes(FREE_BODY.read_bytes()[:1000])


def _text(path):
    path.write_text("no body")


def _without(key):
    return lambda path, arrays: np.savez(path, **{k: v for k, v in arrays.items() if k != key})


def _with(**changes):
    return lambda path, arrays: np.savez(path, **{**arrays, **changes})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, arrays: None, "There is no body file at"),
        (lambda path, arrays: _text(path), "not a readable"),
        (lambda path, arrays: _cut(path), "not a readable"),
        (_without("weights"), "no array 'weights'"),
        (_with(v_template=np.zeros((5, 2))), "shape"),
        (_with(shapedirs=np.full((6890, 3, 10), np.nan)), "finite"),
        (_with(f=np.full((10, 3), 6890)), "do not exist"),
        (_with(posedirs=np.zeros((6890, 3, 5))), "posedirs"),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path, arrays, spoil, sentence):
    path = tmp_path / "body.npz"
    spoil(path, arrays)
    with pytest.raises(UserError, match=sentence):
        load_body(path)


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "evil.npz", v_template=np.array([print], dtype=object))
    with pytest.raises(UserError, match="not a readable"):
        load_body(tmp_path / "evil.npz")
