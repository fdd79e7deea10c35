"""The page in `assets/` is the one that its sources give, and it names the licence of what is in it."""

import shutil

import pytest

from hpof_jax.export.viewer import build
from hpof_jax.export.viewer.page import TEMPLATE


def test_the_page_was_built_from_these_sources():
    text = TEMPLATE.read_text(encoding="utf-8")
    assert build.digest() in text, "run python -m hpof_jax.export.viewer.build"
    assert "The MIT License" in text and "three.js authors" in text


def test_the_page_has_a_place_for_everything_once():
    text = TEMPLATE.read_text(encoding="utf-8")
    for name in ("title", "data", "glb", "video"):
        assert text.count(f"<!--hpof:{name}-->") == 1
    assert text.count("<!--hpof:") == 4


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js builds the page")
def test_the_build_gives_the_same_page_again():
    assert build.build() == TEMPLATE.read_text(encoding="utf-8")
