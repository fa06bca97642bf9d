"""A headless Chromium, driven through its debugging pipe: no driver and no library are needed.

The picture in the documentation, of the page of two runs that `tinygrad-llm watch` serves:

    python tests/browser.py http://127.0.0.1:8400/ docs/watch.png
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--remote-debugging-pipe"]


class Browser:
    """One page of a browser; `errors` are those of its scripts and its console."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        read, self.write = os.pipe()
        self.read, write = os.pipe()

        def as_three_and_four() -> None:
            here, there = os.dup(read), os.dup(write)  # either may be the 3 that is written over
            os.dup2(here, 3)
            os.dup2(there, 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"], pass_fds=(3, 4, read, write),
            preexec_fn=as_three_and_four, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read)
        os.close(write)
        self.number, self.heard, self.errors = 0, b"", list[str]()
        self.session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | (
            {"sessionId": self.session} if self.session else {})
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.heard:
                part = os.read(self.read, 1 << 20)
                assert part, "the browser has ended"
                self.heard += part
            line, _, self.heard = self.heard.partition(b"\0")
            answer = json.loads(line)
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False,
             phone: bool = False) -> None:
        """Open a page in a window of that size."""
        self.shape(width, height, dark, phone)
        self.call("Page.navigate", url=address)

    def shape(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Give the window another size and theme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def value(self, script: str) -> Any:
        """Return what a script's expression gives, as JSON has it."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                          awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 30) -> Any:
        """Wait until an expression is true; return it."""
        end = time.monotonic() + seconds
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"{script} is still {found!r}; {self.errors}"
            time.sleep(0.1)
        return found

    def point(self, x: float, y: float, kind: str = "mouseMoved") -> None:
        """Move the pointer, or press and release it."""
        for one in ([kind] if kind == "mouseMoved" else ["mousePressed", "mouseReleased"]):
            self.call("Input.dispatchMouseEvent", type=one, x=x, y=y, button="none"
                      if one == "mouseMoved" else "left", clickCount=1)

    def key(self, name: str, shift: bool = False) -> None:
        """Press and release a key, named as `KeyboardEvent.key`."""
        for one in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=one, key=name, modifiers=8 * shift)

    def picture(self, path: Path, whole: bool = True) -> None:
        """Save a picture of the whole page, or of what the window shows."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """End the browser."""
        self.process.kill()
        self.process.wait()
        os.close(self.read)
        os.close(self.write)


if __name__ == "__main__":
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        one = Browser(Path(profile))
        one.open(sys.argv[1])
        one.until("document.documentElement?.dataset.ready === 'yes'")
        time.sleep(1)  # the records behind the first
        one.point(700, 640)
        one.picture(Path(sys.argv[2]), whole=False)
        one.close()
