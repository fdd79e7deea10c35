"""Does the page of a motion work in a real browser?

    python -m benchmarks.viewer_in_chromium out/motion.npz [--video clip.mp4] [--picture viewer.jpg]

Opens the page in headless Chromium, without GPU and network, and checks that

- the picture from the video's camera covers the same pixels as our own rasterizer's, in several frames;
- it plays at the speed that is set, pauses at the end of a key press, steps and scrubs;
- the video, if one is given, shows the time of the bodies;
- nothing is requested, and nothing is written to the console.

It prints the time from the start of the page's load until its first picture, and the processor time of that, which
is mostly the software's in place of a GPU. The program fails if a check does not hold.
"""

import argparse
import base64
import json
import pathlib
import tempfile
import time

import cv2
import numpy as np

from benchmarks.chromium import chromium
from benchmarks.program import program
from hpof_jax.body import load_body
from hpof_jax.export import export
from hpof_jax.geometry import zbuffer
from hpof_jax.motion import Motion

SIZE = (1120, 700)  # of the window
FRAMES = 6  # in which pictures are compared
ENLARGED = 3  # times larger than in the window are the pictures that are compared: edges then matter less
IOU = 0.98  # at least

# The alpha of the scene, at the size of the window's own scene, with nothing but the bodies in it.
_SILHOUETTE = """(() => {
  const {stage} = viewer, hidden = [];
  stage.scene.traverse(item => {
    const keep = item.isSkinnedMesh || !(item.isMesh || item.isLine);
    if (!keep && item.visible) { item.visible = false; hidden.push(item); }
  });
  stage.people.forEach(person => { person.material.opacity = 1; });
  stage.render(true);
  const picture = stage.canvas.toDataURL("image/png");
  hidden.forEach(item => { item.visible = true; });
  return picture;
})()"""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "motion", nargs="+", help="the motion.npz of a reconstruction, made with the free body"
    )
    parser.add_argument("--video", help="the video that it was made from: also check the video in the page")
    parser.add_argument(
        "--picture", type=pathlib.Path, help="where to keep a picture of the page, .png or .jpg"
    )
    parser.add_argument("--chromium", help="the program (default: the one that is found)")


@program(__doc__, _options)
def main(options: argparse.Namespace) -> dict:
    motions = {f"person {number}": Motion.load(path) for number, path in enumerate(options.motion, 1)}
    with tempfile.TemporaryDirectory() as folder, chromium(options.chromium) as page:
        [path] = export(motions, folder, "html", video=options.video)
        report = {"megabytes": round(path.stat().st_size / 1e6, 2)}
        report |= _load_time(page, f"{path.as_uri()}#paused&t=0")
        page.evaluate("viewer.stage.show('Camera', false)")
        report["iou"] = _compare(page, motions)
        page.evaluate("viewer.stage.show('3/4', false)")
        _check_time(page)
        if options.video:
            report["video_late_ms"] = _check_video(page)
        if options.picture:
            picture(page, options.picture)
        assert not page.log, page.log
    print(json.dumps(report, indent=1))
    return report


def picture(page, path: pathlib.Path, at: float = 0.33) -> None:
    """Writes a picture of an open page of a motion at a part `at` of its length."""
    page.evaluate(
        f"viewer.player.pause(), viewer.go({at} * viewer.data.duration), viewer.stage.show('3/4', false)"
    )
    page.wait("!viewer.player.video?.seeking")
    time.sleep(1)  # the video's texture is there a few pictures later
    page.screenshot(path, quality=60)


def _load_time(page, url: str) -> dict[str, float]:
    """Opens the page. Seconds until its first picture is complete, and what Chromium's processes computed for it."""
    page.open("about:blank", SIZE)
    time.sleep(2)  # Chromium itself has started
    before = page.processor_seconds()
    page.open(url, SIZE)
    page.wait("window.viewer")
    page.evaluate("viewer.stage.renderer.getContext().finish()")
    computed = page.processor_seconds() - before
    seconds = page.evaluate("viewer.loaded") / 1000
    return {"seconds_to_first_picture": round(seconds, 2), "processor_seconds": round(computed, 2)}


def _compare(page, motions: dict[str, Motion]) -> dict[str, float]:
    """The intersection over union of the page's silhouettes and our rasterizer's."""
    body, shared = load_body(), next(iter(motions.values()))
    start = min(motion.times[0] for motion in motions.values())
    values = []
    page.evaluate(f"viewer.stage.renderer.setPixelRatio({ENLARGED})")
    for row in np.linspace(0, len(shared) - 1, FRAMES).astype(int):
        page.evaluate(f"viewer.go({shared.times[row] - start}), viewer.stage.render(true)")
        content = base64.b64decode(page.evaluate(_SILHOUETTE).partition(",")[2])
        alpha = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[:, :, 3]
        wanted = np.zeros(alpha.shape, bool)
        for motion in motions.values():
            if row < len(motion):
                wanted |= _silhouette(motion, body, row, alpha.shape)
        found = alpha > 127
        values.append(float((found & wanted).sum() / (found | wanted).sum()))
    page.evaluate("viewer.stage.resize()")
    assert min(values) > IOU, values
    return {"least": round(min(values), 4), "mean": round(float(np.mean(values)), 4)}


def _silhouette(motion: Motion, body, row: int, shape: tuple[int, int]) -> np.ndarray:
    """The pixels that the body covers if the video's picture is put into one of `shape`, as large as fits."""
    vertices = motion.vertices(body, np.array([row]))[0]
    scale = min(shape[0] / motion.image_size[0], shape[1] / motion.image_size[1])
    points = zbuffer.project(vertices, motion.focal_length * scale, shape)
    return zbuffer.rasterize(points, vertices[:, 2], np.asarray(body.faces), shape).mask


def _check_time(page) -> None:
    """Plays, pauses, steps, scrubs by the slider and along a curve."""
    duration, frame = page.evaluate("[viewer.data.duration, 1 / viewer.data.fps]")
    page.evaluate("viewer.go(0)")
    page.press(" ")
    page.wait("viewer.player.playing && viewer.player.time > 0.2")
    page.click("#play")
    page.wait("!viewer.player.playing")
    paused = page.evaluate("viewer.player.time")
    page.press("ArrowRight")
    stepped = page.evaluate("viewer.player.time")
    assert abs(stepped - paused - frame) < 1e-6 or stepped == duration, (paused, stepped)
    page.evaluate(
        "(s => { s.value = 0.5 * s.max; s.dispatchEvent(new Event('input')); })(document.getElementById('scrub'))"
    )
    assert abs(page.evaluate("viewer.player.time") - duration / 2) < 1e-3
    left, top, width = page.evaluate(
        "(r => [r.x, r.y + r.height / 2, r.width])(document.querySelector('.lane .plot').getBoundingClientRect())"
    )
    page.drag([(left + 0.3 * width, top), (left + 0.7 * width, top)])
    assert abs(page.evaluate("viewer.player.time") / duration - 0.7) < 0.02
    speeds = [f"(s => {{ s.value = '{value}'; s.dispatchEvent(new Event('change')); }})" for value in (2, 1)]
    page.evaluate(f"{speeds[0]}(document.getElementById('speed'))")
    assert page.evaluate("viewer.player.speed") == 2
    page.evaluate(f"{speeds[1]}(document.getElementById('speed'))")
    x, y = page.evaluate(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])(viewer.stage.canvas.getBoundingClientRect())"
    )
    before = page.evaluate("viewer.stage.camera.position.toArray()")
    page.drag([(x, y), (x + 80, y), (x + 160, y)])
    page.wait(
        f"viewer.stage.camera.position.distanceTo({{x: {before[0]}, y: {before[1]}, z: {before[2]}}}) > 0.1"
    )


def _check_video(page) -> dict[str, float]:
    """How far the video is from the time of the bodies, in ms: at most after jumps, and in play, at one moment.

    In play it is the time since the last picture, which is long where software draws.
    """
    late, jumps = "1000 * (viewer.player.video.currentTime + viewer.player.start - viewer.player.time)", []
    for part in (0.2, 0.8, 0.5):
        page.evaluate(f"viewer.go({part} * viewer.data.duration)")
        page.wait("!viewer.player.video.seeking")
        jumps.append(abs(page.evaluate(late)))
    assert max(jumps) < 10, jumps
    page.evaluate("viewer.player.play()")
    page.wait("!viewer.player.video.paused && viewer.player.time > 0.6 * viewer.data.duration")
    playing = page.evaluate(late)
    page.evaluate("viewer.player.pause()")
    return {"after_jumps": round(max(jumps), 1), "in_play": round(playing, 1)}


if __name__ == "__main__":
    main()
