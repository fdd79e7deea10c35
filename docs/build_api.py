"""Makes the API pages from the docstrings.

python docs/build_api.py        # writes docs/api/; then open docs/api/index.html
"""

import pathlib
import sys
import warnings
from collections.abc import Sequence

import pdoc

ROOT = pathlib.Path(__file__).parent.parent


def modules() -> list[str]:
    """The names of all public modules, except those that only rebuild the free body."""
    files = (path for package in ("hpof_jax", "data_pipelines") for path in (ROOT / package).rglob("*.py"))
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files
    }
    names.remove("hpof_jax")  # its names are documented where they are defined
    return sorted(name for name in names if "._" not in name and not name.startswith("hpof_jax.body.build"))


def build(folder: pathlib.Path, names: Sequence[str]) -> None:
    """Writes an HTML page for each module, an index and a search index to `folder`."""
    pdoc.render.configure(docformat="google", footer_text="hpof_jax")
    with warnings.catch_warnings():
        # A package adds its modules; named again, they warn.
        warnings.filterwarnings("ignore", "The module specification .* already been added")
        pdoc.pdoc(*names, output_directory=folder)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    build(ROOT / "docs" / "api", modules())
