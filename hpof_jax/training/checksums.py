"""SHA-256 checksums of the files of a checkpoint: written with it, compared before it is used."""

import hashlib
import json

from etils import epath

NAME = "checksums.json"
_METADATA = "_CHECKPOINT_METADATA"
# Orbax writes these when it commits the checkpoint, after the checksums.
_LATER = {_METADATA, "commit_success.txt", NAME}


def write(folder: epath.Path) -> None:
    """Writes the checksums of all files in a folder, and below, to a file in it."""
    (folder / NAME).write_text(json.dumps(_compute(folder), indent=1))


def find_damage(folder: epath.Path) -> str | None:
    """What is damaged in the folder of a checkpoint, or None.

    A folder without checksums, such as an earlier version wrote, counts as undamaged.
    """
    if not (folder / NAME).exists():
        return None
    try:
        expected = json.loads((folder / NAME).read_text())
        damaged = [name for name, digest in expected.items() if _digest(folder / name) != digest]
    except (OSError, ValueError, AttributeError, RecursionError):
        return f"{NAME} cannot be read"
    if damaged:
        return f"{damaged[0]} is damaged" if (folder / damaged[0]).exists() else f"{damaged[0]} is missing"
    try:
        readable = isinstance(json.loads((folder / _METADATA).read_text()), dict)
    except (OSError, ValueError, RecursionError):
        readable = False
    return None if readable else f"{_METADATA} cannot be read"


def _compute(folder: epath.Path) -> dict[str, str]:
    found, waiting = {}, [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.is_dir():
                waiting.append(path)
            elif (name := str(path.relative_to(folder))) not in _LATER:
                found[name] = _digest(path)
    return dict(sorted(found.items()))


def _digest(path: epath.Path) -> str | None:
    """None if there is no such file."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
