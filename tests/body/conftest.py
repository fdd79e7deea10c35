"""A small random body with everything that SMPL's files have, and pickles like SMPL's."""

import io
import pickle
import struct
import sys
import types

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from hpof_jax.body.skeletons import SMPL_PARENTS

VERTICES = 60


def make_arrays(parents, num_betas):
    rng, joints = np.random.default_rng(0), len(parents)
    return dict(
        v_template=rng.normal(scale=0.4, size=(VERTICES, 3)),
        shapedirs=rng.normal(scale=0.02, size=(VERTICES, 3, num_betas)),
        posedirs=rng.normal(scale=0.005, size=(VERTICES, 3, 9 * (joints - 1))),
        J_regressor=rng.dirichlet(np.full(VERTICES, 0.05), joints),
        weights=rng.dirichlet(np.full(joints, 0.1), VERTICES),
        kintree_table=np.stack([np.array(parents).astype(np.uint32), np.arange(joints, dtype=np.uint32)]),
        f=rng.integers(0, VERTICES, (90, 3), dtype=np.uint32),
        landmark_regressor=rng.dirichlet(np.ones(VERTICES), 33),
    )


@pytest.fixture
def smpl_arrays():
    """The arrays of an SMPL file, and a landmark regressor, which 60 vertices need."""
    return make_arrays(SMPL_PARENTS, 10)


@pytest.fixture
def smplh_arrays():
    """An SMPL-H file's arrays, 52 joints: the body's, then index, middle, pinky, ring, thumb of both hands."""
    hands = [parent for wrist, first in ((20, 22), (21, 37)) for parent in fingers(wrist, first)]
    return make_arrays(SMPL_PARENTS[:22] + tuple(hands), 16)


def fingers(wrist, first):
    for finger in range(5):
        joint = first + 3 * finger
        yield from (wrist, joint, joint + 1)


@pytest.fixture
def chumpy(monkeypatch):
    """Stand-ins that pickle like chumpy's classes; `forget()` removes them, so that `import chumpy` fails."""
    ch, reordering = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering")

    class Ch:
        __module__, __qualname__ = "chumpy.ch", "Ch"

        def __init__(self, **terms):
            vars(self).update(terms, _dirty_vars={"x"}, _itr=None, _depends_on_deps=())

    class Select(Ch):
        __module__, __qualname__ = "chumpy.reordering", "Select"

    ch.Ch, reordering.Select = Ch, Select
    modules = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": ch, "chumpy.reordering": reordering}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def forget():
        for name in modules:
            monkeypatch.setitem(sys.modules, name, None)  # `import chumpy` raises

    return types.SimpleNamespace(Ch=Ch, Select=Select, forget=forget)


@pytest.fixture
def official(chumpy):
    """A function from arrays to the dictionary in an official `.pkl`."""

    def make(arrays):
        regressor = csc_matrix(arrays["J_regressor"])
        return arrays | dict(
            J_regressor=regressor,
            J_regressor_prior=regressor,
            shapedirs=chumpy.Ch(x=arrays["shapedirs"]),
            J=arrays["J_regressor"] @ arrays["v_template"],
            vert_sym_idxs=np.arange(VERTICES),
            pose_training_info={"gender": "male", "J_regressor_prior_wt": 10.0},
            bs_type="lrotmin",
            bs_style="lbs",
        )

    return make


class _Python2(pickle._Pickler):
    """Writes as Python 2 does: text and bytes are its `str`."""

    dispatch = {**pickle._Pickler.dispatch}

    def save_string(self, text):
        value = text if isinstance(text, bytes) else text.encode("latin1")
        quoted = b"S" + repr(value)[1:].encode() + b"\n"
        self.write(quoted if self.proto == 0 else b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_string


@pytest.fixture
def python2_pickle():
    """A function like `pickle.dumps` of Python 2, with its NumPy and SciPy, for protocols 0 and 2."""

    def dumps(content, protocol):
        file = io.BytesIO()
        _Python2(file, protocol).dump(content)
        written = file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")
        return written.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")

    return dumps
