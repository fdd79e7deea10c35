"""3D human shape and motion from a monocular video, with optical flow, in JAX.

The public names load what they need at first use: `import hpof_jax` alone imports neither JAX nor OpenCV.

    motion = hpof_jax.reconstruct("clip.mp4")   # -> hpof_jax.Motion
    body = hpof_jax.load_body()                 # the free body, or the path of an SMPL file
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Motion", "load_body", "reconstruct"]

if TYPE_CHECKING:
    from hpof_jax.body.files import load_body
    from hpof_jax.motion import Motion
    from hpof_jax.reconstruct import reconstruct

_HOMES = {"Motion": "hpof_jax.motion", "load_body": "hpof_jax.body.files"}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str):
        """Imports a public name at its first use (PEP 562)."""
        if name == "reconstruct":
            return importlib.import_module("hpof_jax.reconstruct")
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'hpof_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CallableModule(types.ModuleType):
    """A module that can be called like the function of the same name in it."""

    def __call__(self, *args, **kwargs):
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Package(types.ModuleType):
    """Makes `hpof_jax.reconstruct` both the module, for `python -m` and its other names, and the function.

    The import system sets each submodule as an attribute of its package, in any order of imports. This class
    intercepts it.
    """

    def __setattr__(self, name, value):
        if name == "reconstruct" and isinstance(value, types.ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

# argv[0] is "-m" only while `python -m hpof_jax...` looks for its module, which is before all heavy imports.
if sys.argv[:1] == ["-m"]:
    from hpof_jax import interrupt

    interrupt.install()
