"""A real Chromium that is driven: pointers, keys, sizes, themes, pictures (W3C WebDriver)."""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import FLAGS
from needs import missing
from waiting import PATIENCE

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key that says that a value is an element, as the standard has it."""

Point = tuple[float, float]


class Browser:
    """One window; see ``open_browser``."""

    def __init__(self, session: str) -> None:
        self._session = session

    def call(self, method: str, path: str, content: object = None) -> Any:
        """Send one command of the standard."""
        return _call(method, self._session + path, content)

    def open(self, address: str) -> None:
        self.call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript and return what it returns; a promise is waited for."""
        return self.call("POST", "/execute/sync", {"script": script, "args": arguments})

    def find(self, selector: str) -> dict[str, str]:
        found: dict[str, str] = self.call(
            "POST", "/element", {"using": "css selector", "value": selector}
        )
        return found

    def text(self, selector: str) -> str:
        return str(self.run(f"return document.querySelector({selector!r}).textContent"))

    def click(self, selector: str) -> None:
        self.call("POST", f"/element/{self.find(selector)[ELEMENT]}/click", {})

    def keys(self, *keys: str) -> None:
        """Press and release keys one after another; a tuple of them together: ``"ctrl+z"``."""
        actions = []
        for key in keys:
            together = [_KEYS.get(part, part) for part in key.split("+")]
            actions += [{"type": "keyDown", "value": one} for one in together]
            actions += [{"type": "keyUp", "value": one} for one in reversed(together)]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def draw(self, selector: str, points: Sequence[Point], kind: str = "mouse") -> None:
        """Draw a stroke on an element, whose sides are 1; ``kind``: mouse, touch or pen."""
        box = self.run(
            f"return document.querySelector({selector!r}).getBoundingClientRect().toJSON()"
        )
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        moves = [
            {"type": "pointerMove", "duration": 16, "x": round(x), "y": round(y)} for x, y in at
        ]
        down, up = ({"type": name, "button": 0} for name in ("pointerDown", "pointerUp"))
        actions = [moves[0], down, *moves[1:], up]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self.call("POST", "/actions", {"actions": [{**pointer, "actions": actions}]})

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the window's size, which may be a phone's, and the theme."""
        mobile = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        theme = {"name": "prefers-color-scheme", "value": scheme}
        self._devtools("Emulation.setEmulatedMedia", {"features": [theme]})

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def complaints(self) -> list[str]:
        """Return what stands in the console since the last call."""
        return [one["message"] for one in self.call("POST", "/se/log", {"type": "browser"})]

    def _devtools(self, command: str, parameters: object) -> None:
        self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})


_KEYS = {
    "ctrl": "\ue009",
    "tab": "\ue004",
    "left": "\ue012",
    "right": "\ue014",
    "enter": "\ue007",
    "shift": "\ue008",
}


def _call(method: str, address: str, content: object = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, body, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from None


def _started(program: str) -> tuple["subprocess.Popen[str]", str]:
    """Start chromedriver; return its process and port."""
    for _ in range(5):  # of IPv4 and IPv6, the port that it takes may be free for one only
        driver = subprocess.Popen([program, "--port=0"], stdout=subprocess.PIPE, text=True)
        assert driver.stdout
        ports = (re.search(r"started successfully on port (\d+)", line) for line in driver.stdout)
        if (found := next(filter(None, ports), None)) is not None:
            return driver, found[1]
        driver.communicate()
    raise RuntimeError("chromedriver found no free port five times")


@contextmanager
def open_browser(chromium: str, profile: Path) -> Iterator[Browser]:
    """Yield a window of ``chromium``; the test is skipped without chromedriver, but not in CI."""
    program = shutil.which("chromedriver")
    if program is None:
        missing("no chromedriver on this machine: apt-get install chromium-driver")
    driver, port = _started(program)
    try:
        options = {
            "binary": chromium,
            "args": [
                *FLAGS,
                f"--user-data-dir={profile}",
            ],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        root = f"http://127.0.0.1:{port}/session"
        made = _call("POST", root, {"capabilities": {"alwaysMatch": wanted}})
        browser = Browser(f"{root}/{made['sessionId']}")
        try:
            yield browser
        finally:
            browser.call("DELETE", "")
    finally:
        driver.terminate()
        driver.communicate()
