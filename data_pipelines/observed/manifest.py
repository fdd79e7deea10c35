"""The manifest of a folder of clips: the options that they were made with."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from hpof_jax.archives import one_line
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError


def read_manifest(folder: pathlib.Path) -> dict[str, Any] | None:
    """The options of a folder of clips; None if it has no manifest. Raises UserError if it cannot be read."""
    manifest = folder / "manifest.json"
    try:
        return {**json.loads(manifest.read_text())} if manifest.exists() else None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _unusable(folder, error) from error


def open_folder(folder: pathlib.Path, options: Mapping[str, Any]) -> None:
    """Makes the folder and its `manifest.json`, or checks that its manifest has the same options.

    Raises:
      UserError: the folder cannot be used, or its clips were made with other options.
    """
    wanted = json.loads(json.dumps(options))  # tuples become lists, as in the file
    found = read_manifest(folder)
    if found is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from error
        with replacing(folder / "manifest.json", "The manifest") as partial:
            partial.write_text(json.dumps(wanted, indent=1) + "\n")
    elif found != wanted:
        changed = ", ".join(sorted(k for k in wanted | found if found.get(k) != wanted.get(k)))
        raise UserError(
            f"The clips in {folder} were made with another {one_line(changed)}: "
            "give another folder, or the same options."
        )


def _unusable(folder: pathlib.Path, error: Exception) -> UserError:
    return UserError(f"The folder {folder} cannot be used ({error}): give another one.")
