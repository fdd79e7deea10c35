"""A page in headless Chromium, without network: opens it, runs JavaScript in it and takes pictures of it."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from hpof_jax.errors import UserError

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--use-gl=angle",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
    ),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--no-first-run",
    ),
    *(
        "--disable-extensions",
        "--disable-sync",
        "--hide-scrollbars",
        "--mute-audio",
        "--remote-debugging-pipe",
    ),
    "--autoplay-policy=no-user-gesture-required",
)
PATIENCE = 120.0  # seconds until a page must have answered


class Page:
    """A page of a running Chromium. `log` has its console messages and errors, as text."""

    def __init__(self, process: int, to_browser: int, from_browser: int):
        self._process, self._out, self._in = process, to_browser, from_browser
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        self.log: list[str] = []

    def open(self, url: str, size: tuple[int, int]) -> None:
        """Opens a page of this width and height and returns when it has loaded."""
        self._session = None  # to the browser, not to the page before
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str):
        """The value of a JavaScript expression; waits if it is a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {json.dumps(answer['exceptionDetails'])[:2000]}")
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Waits until a JavaScript expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > until:
                raise RuntimeError(f"{condition} does not become true; the page says {self.log}")
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Presses and releases a key, such as 'ArrowRight' or ' '."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if key == " " else "")

    def click(self, selector: str) -> None:
        """Clicks on the middle of an element."""
        x, y = self.evaluate(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect())"
        )
        self.drag([(x, y)])

    def drag(self, points: list[tuple[float, float]]) -> None:
        """Presses the mouse at the first point, moves through the others and releases."""
        mouse = dict(button="left", buttons=1, clickCount=1)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=points[0][0], y=points[0][1], **mouse)
        for x, y in points[1:]:
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **mouse)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=points[-1][0], y=points[-1][1], **mouse)

    def screenshot(self, path: str | os.PathLike, quality: int = 85) -> None:
        """Writes what the window shows, as .png or .jpg."""
        path = pathlib.Path(path)
        form = dict(format="jpeg", quality=quality) if path.suffix == ".jpg" else dict(format="png")
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **form)["data"]))

    def processor_seconds(self) -> float:
        """What Chromium's processes have computed until now. Linux only."""
        parents, ticks = {}, {}
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # a process that has ended
                fields = path.read_text().rpartition(")")[2].split()
                number = int(path.parent.name)
                parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
        family = {self._process}
        while new := {number for number, parent in parents.items() if parent in family} - family:
            family |= new
        return sum(ticks.get(number, 0) for number in family) / os.sysconf("SC_CLK_TCK")

    def call(self, method: str, **params) -> dict:
        """Sends a command of the DevTools protocol and returns the answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._next())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _next(self) -> bytes:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("Chromium has ended.")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return message

    def _note(self, event: dict) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                texts = [str(item.get("value", item.get("description"))) for item in params["args"]]
                self.log.append(f"{params['type']}: {' '.join(texts)}")
            case "Runtime.exceptionThrown":
                self.log.append(f"exception: {params['exceptionDetails'].get('exception', params)}")
            case "Log.entryAdded":
                self.log.append(f"{params['entry']['level']}: {params['entry']['text']}")
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "about:")):
                    self.log.append(f"request: {url}")


@contextlib.contextmanager
def chromium(program: str | None = None) -> Iterator[Page]:
    """A running Chromium with one page; it ends with the block.

    Raises:
      UserError: there is no Chromium.
    """
    program = next(filter(None, map(shutil.which, [program] if program else NAMES)), None)
    if program is None:
        raise UserError(
            f"There is no Chromium: install it, or name the program (looked for {', '.join(NAMES)})."
        )
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    # Chromium reads from 3 and writes to 4. Higher numbers first, so that neither replaces the other.
    high_in, high_out = (fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (their_in, their_out))
    actions = [(os.POSIX_SPAWN_DUP2, high_in, 3), (os.POSIX_SPAWN_DUP2, high_out, 4)]
    actions += [(os.POSIX_SPAWN_OPEN, output, os.devnull, os.O_WRONLY, 0) for output in (1, 2)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = os.posix_spawn(program, arguments, os.environ, file_actions=actions)
        for end in (their_in, their_out, high_in, high_out):
            os.close(end)
        page = Page(process, our_out, our_in)
        try:
            yield page
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                page._session = None
                page.call("Browser.close")
            os.close(our_out)  # at which Chromium ends, if it has not yet
            os.close(our_in)
            os.waitpid(process, 0)
