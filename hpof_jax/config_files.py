"""Config files: `configs/hpof.py` and `configs/tiny.py` come with the package, wherever it is used."""

import importlib
import importlib.util
import os
import pathlib
import re
import runpy
import sys

from ml_collections import ConfigDict

from hpof_jax.errors import UserError

_PACKAGE = pathlib.Path(__file__).parent
# An installed package holds the files itself; in a clone they lie beside it.
_FOLDERS = {_PACKAGE: "hpof_jax.configs", _PACKAGE.parent: "configs"}


def find_config(path: str | os.PathLike) -> str:
    """The path of a config file, with its variant: `configs/hpof.py:mlp`.

    `configs/NAME.py` is the package's own file if the working folder has none of that name. The path of any
    other file is returned as it is, whether or not it exists.
    """
    file, colon, variant = str(path).partition(":")
    if re.fullmatch(r"configs/\w+\.py", file) and not pathlib.Path(file).exists():
        for folder, package in _FOLDERS.items():
            if (folder / file).is_file():
                if (
                    importlib.util.find_spec("configs") is None
                ):  # config files import others as `configs.NAME`
                    sys.modules["configs"] = importlib.import_module(package)
                return f"{folder / file}{colon}{variant}"
    return str(path)


def load_config(path: str | os.PathLike) -> ConfigDict:
    """The config of a file, with or without a variant, such as `configs/hpof.py:mlp`.

    Raises:
      UserError: there is no such file, or no such variant.
    """
    file, _, variant = find_config(path).partition(":")
    try:
        get_config = runpy.run_path(file)["get_config"]
        return get_config(variant) if variant else get_config()
    except (OSError, ValueError, SyntaxError, KeyError) as error:
        raise UserError(
            f"The config {path} cannot be read: {error} (give one like configs/hpof.py)."
        ) from error
