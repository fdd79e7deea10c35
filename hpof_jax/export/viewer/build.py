"""Builds the page without a motion, `assets/viewer.html`, from `source/` and three.js. Needs Node.js.

    python -m hpof_jax.export.viewer.build

three.js (MIT) and esbuild, which bundles it, are fetched with npm, once, at pinned versions. The build is
deterministic.
"""

import hashlib
import pathlib
import re
import shutil
import subprocess
import sys

from hpof_jax import downloads
from hpof_jax.atomic import replacing
from hpof_jax.errors import UserError
from hpof_jax.export.viewer.page import TEMPLATE

SOURCE = pathlib.Path(__file__).parent / "source"
PACKAGES = ("three", "esbuild")  # names in `downloads.PINNED`
OPTIONS = [
    "--bundle",
    "--minify",
    "--format=iife",
    "--target=es2022",
    "--legal-comments=none",
    "--charset=utf8",
]


def main() -> None:
    try:
        with replacing(TEMPLATE, "The page") as partial:
            partial.write_text(build(), encoding="utf-8")
    except UserError as error:
        sys.exit(str(error))
    print(f"wrote {TEMPLATE}, {TEMPLATE.stat().st_size / 1e6:.2f} MB")


def build() -> str:
    """The page, with places for the motion.

    Raises:
      UserError: there is no Node.js, no network, or the sources have an error.
    """
    three = downloads.fetch("three")
    script = _bundle(three, downloads.fetch("esbuild"))
    if "</script" in script.lower() or "<!--" in script:
        raise UserError("The script would end its own element: change the text in it that looks like HTML.")
    licence = (three / "LICENSE").read_text(encoding="utf-8").strip()
    parts = {
        "notice": f"<!--\nMade with hpof_jax; sources {digest()}.\nThis page contains three.js.\n\n{licence}\n-->",
        "style": (SOURCE / "style.css").read_text(encoding="utf-8"),
        "script": script,
    }
    page = (SOURCE / "page.html").read_text(encoding="utf-8")
    return re.sub("<!--hpof:(notice|style|script)-->", lambda match: parts[match[1]].strip(), page)


def digest() -> str:
    """The SHA-256 of all that the page is built from. It is in the page, so that an outdated one is noticed."""
    parts = [
        *OPTIONS,
        *(f"{pin.package.name} {pin.package.version}" for pin in map(downloads.PINNED.get, PACKAGES)),
    ]
    parts += [path.read_text(encoding="utf-8") for path in sorted(SOURCE.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _bundle(three: pathlib.Path, esbuild: pathlib.Path) -> str:
    """One script, without imports and without what nothing uses."""
    node = shutil.which("node")
    if node is None:
        raise UserError("The build needs Node.js, and there is no program 'node': install it.")
    command = [node, str(esbuild), str(SOURCE / "main.js"), f"--alias:three={three}", *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UserError(f"esbuild failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
