"""The page of a motion: what is in it, that it needs nothing else, and that no name can break it."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hpof_jax.body import load_body
from hpof_jax.errors import UserError
from hpof_jax.export import glb, viewer
from hpof_jax.export.viewer import page
from hpof_jax.palette import PEOPLE
from hpof_jax.world import share_world, to_world


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the texts in them by id, or by tag."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.texts, self.inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") or tag
        self.texts.setdefault(self.inside, "")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside] += data


@pytest.fixture(scope="module")
def world(small_motion):
    return to_world(small_motion, load_body())


def test_a_page_holds_the_scene_and_the_curves(world, tmp_path):
    viewer.write(tmp_path / "clip.html", {"walk": world}, load_body())
    texts = Elements((tmp_path / "clip.html").read_text(encoding="utf-8")).texts
    assert base64.b64decode(texts["glb"]) == glb.contents({"walk": world}, load_body())
    data = json.loads(texts["data"])
    assert (data["title"], data["duration"], data["step"], data["video"]) == ("walk", 0.16, 1, None)
    [person] = data["people"]
    assert person["times"] == [0.0, 0.04, 0.1, 0.12, 0.16]
    assert person["confidence"] == [0.9, 0.8, 0.2, 0.9, 0.9]
    knee = next(angle for angle in person["angles"] if angle["name"] == "knee angle")
    assert len(knee["left"]) == len(knee["right"]) == 5
    np.testing.assert_allclose(np.array(person["path"])[:, 1], world.joints[:, 0, 2], atol=1e-3)


def test_a_page_loads_nothing(world):
    text = viewer.contents({"walk": world}, load_body())
    found = Elements(text).found
    for tag, attributes in found:
        assert tag not in ("link", "iframe", "base", "img", "object", "embed")
        assert not {"src", "href", "srcset", "action", "poster"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
    [policy] = [attributes["content"] for _, attributes in found if attributes.get("http-equiv")]
    allowed = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert {*" ".join(allowed.values()).split()} == {"'none'", "'unsafe-inline'", "data:", "blob:"}
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style


@pytest.mark.parametrize(
    "name",
    ["</script><script>alert(1)</script>", "<!-- <script>", 'Zoë & "Łukasz"', "</title>&lt;", "\\u2028"],
)
def test_a_name_is_only_text(world, name):
    elements = Elements(viewer.contents({name: world}, load_body()))
    assert [tag for tag, _ in elements.found].count("script") == 4
    assert json.loads(elements.texts["data"])["people"][0]["name"] == name
    assert elements.texts["title"] == name


def test_several_people_share_a_scene(small_motion):
    later = dataclasses.replace(small_motion, times=small_motion.times + 0.5)
    people = dict(zip("ab", share_world([small_motion, later], load_body())))
    data = json.loads(Elements(viewer.contents(people, load_body())).texts["data"])
    assert [person["name"] for person in data["people"]] == ["a", "b"]
    assert [person["times"][0] for person in data["people"]] == [0.0, 0.5]
    assert data["duration"] == 0.66 and data["title"] == "a, b"
    assert [person["color"] for person in data["people"]] == [_hex(color) for color in PEOPLE[:2]]


def test_people_of_a_reconstruction_have_the_number_and_colour_of_the_overlay(world):
    texts = Elements(viewer.contents({"motion_3": world, "motion_1": world}, load_body())).texts
    people = json.loads(texts["data"])["people"]
    assert [person["name"] for person in people] == ["person 3", "person 1"]
    assert [person["color"] for person in people] == [_hex(PEOPLE[2]), _hex(PEOPLE[0])]
    assert texts["title"] == "person 3, person 1"


def _hex(color):
    return "#{:02x}{:02x}{:02x}".format(*color)


def test_frames_of_low_confidence_are_guesses(world):
    assert page._guesses(world, world.times[0]) == [[0.07, 0.11]]
    for confidence, guesses in [(np.full(5, 0.9), []), (np.full(5, 0.5), [[0.0, 0.16]])]:
        changed = dataclasses.replace(world, confidence=confidence)
        assert page._guesses(changed, world.times[0]) == guesses


def test_the_camera_sees_the_joints_where_the_video_has_them(small_motion, world):
    camera = page._camera(world, world.times[0])
    to_world_ = np.array(camera["matrices"][0]).reshape(4, 4).T
    joints = np.append(world.joints[0] @ page.Y_UP.T, np.ones((24, 1)), axis=1)
    x, y, z, _ = np.linalg.inv(to_world_) @ joints.T
    focal = 240 / np.tan(camera["yfov"] / 2)
    want = 600 * small_motion.joints[0, :, :2] / small_motion.joints[0, :, 2:]
    np.testing.assert_allclose(focal * np.stack([x, -y], axis=1) / -z[:, None], want, atol=0.01)
    assert camera["aspect"] == 640 / 480 and camera["times"] == [0.0]


def test_a_camera_that_moves_has_a_place_in_each_frame(world):
    places = np.tile(world.world_to_camera, (5, 1, 1))
    places[:, 0, 3] += np.arange(5)
    camera = page._camera(dataclasses.replace(world, world_to_camera=places), world.times[0])
    assert len(camera["matrices"]) == len(camera["times"]) == 5
    np.testing.assert_allclose(np.diff([matrix[12] for matrix in camera["matrices"]]), -1.0)
    thinned = page._thin(dataclasses.replace(world, world_to_camera=places), 2)
    assert len(page._camera(thinned, 0.0)["matrices"]) == len(thinned) == 3


def test_a_long_motion_keeps_every_nth_frame(world):
    rows = np.arange(500) % 5
    names = ("global_orient", "body_pose", "transl", "joints", "confidence")
    long = dataclasses.replace(
        world, **{name: getattr(world, name)[rows] for name in names}, times=0.04 * np.arange(500)
    )
    whole = viewer.contents({"a": long}, load_body())
    assert len(whole) < viewer.MAX_BYTES
    small = viewer.contents({"a": long}, load_body(), max_bytes=len(whole) - 200_000)
    data = json.loads(Elements(small).texts["data"])
    assert len(small) <= len(whole) - 200_000
    assert data["step"] > 1 and data["people"][0]["times"][1] == pytest.approx(0.04 * data["step"])


def test_a_notebook_shows_the_page(small_motion):
    element = small_motion._repr_html_()
    assert element.startswith('<iframe sandbox="allow-scripts"') and len(element) < 2 * page.NOTEBOOK_BYTES
    [(_, attributes)] = Elements(element).found
    assert json.loads(Elements(attributes["srcdoc"]).texts["data"])["title"] == "motion"
    assert dataclasses.replace(small_motion, body="SMPL_MALE")._repr_html_() is None


def test_a_place_that_cannot_be_written(world, tmp_path):
    with pytest.raises(UserError, match="The page cannot be written to .*nowhere"):
        viewer.write(tmp_path / "nowhere" / "a.html", {"a": world}, load_body())
