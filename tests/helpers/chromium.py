"""A headless Chromium, driven by its DevTools protocol over a pipe: no port, no network."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

from .yolo_world import ROOT

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
KEYS = dict(Tab=9, Enter=13, PageUp=33, PageDown=34, End=35, Home=36, ArrowLeft=37, ArrowRight=39)


def find_chromium() -> str:
    """The browser that ``make test`` uses.

    Raises:
        FileNotFoundError: there is none; with the command that installs it.
    """
    file = ROOT / "tools/dev/setup_chromium.py"
    spec = importlib.util.spec_from_file_location("setup_chromium", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = module.find_chromium()
    if path is None:
        raise FileNotFoundError(f"no Chromium that starts; as root: {module.INSTALL}")
    return path


class Chromium:
    """One browser with one page.

    Attributes:
        requests: URLs that pages asked for, ``data:`` excluded.
        messages: texts of the console, violations of the content security policy among them, and
            of errors that nothing caught.
    """

    def __init__(self, profile: Path) -> None:
        self.profile = profile
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        command = [find_chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._last, self._rest, self._session = 0, b"", None
        self._events: list[str] = []
        self.requests: list[str] = []
        self.messages: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._session = None
            self.send("Browser.close")
        finally:
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            os.close(self._in)
            os.close(self._out)
            shutil.rmtree(self.profile, ignore_errors=True)

    def send(self, method: str, **parameters: object) -> dict:
        """Call a method of the DevTools protocol and wait for its answer."""
        self._last += 1
        message = dict(id=self._last, method=method, params=parameters)
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, page: Path | str, width: int, height: int = 800, dark: bool = False) -> None:
        """Show a file from disk, or an address, in a window of this size, in CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = dict(name="prefers-color-scheme", value="dark" if dark else "light")
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self._go("about:blank")  # what the page before says of its end is not of this one
        self.requests.clear()
        self.messages.clear()
        self._go(page if isinstance(page, str) else page.resolve().as_uri())

    def _go(self, url: str) -> None:
        self._events.clear()
        self.send("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._read()

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression on the page (not bound by the page's policy).

        A promise is waited for.
        """
        how = dict(returnByValue=True, awaitPromise=True)
        answer = self.send("Runtime.evaluate", expression=expression, **how)
        if found := answer.get("exceptionDetails"):
            raise RuntimeError(found.get("exception", {}).get("description") or found["text"])
        return answer["result"].get("value")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an ``<input type=file>``."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, selector: str, file: Path) -> None:
        """Drag a file from elsewhere to the middle of an element and let go of it."""
        x, y = self.evaluate(
            f"(() => {{const b = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]})()"
        )
        data = dict(items=[], files=[str(file)], dragOperationsMask=1)
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, key: str, times: int = 1) -> None:
        """Press a key, such as ``ArrowRight``, where the keyboard's focus is."""
        code = KEYS[key]
        for kind in ("keyDown", "keyUp") * times:
            about = dict(key=key, code=key, windowsVirtualKeyCode=code)
            about |= dict(text="\r") if key == "Enter" and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, **about)

    def wait_for(self, expression: str, seconds: float = 120) -> object:
        """What a JavaScript expression is, as soon as it is true.

        Raises:
            TimeoutError: it does not become true.
        """
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.1)
        return value

    def texts(self, selector: str) -> list[str]:
        """Visible texts of all elements that a CSS selector finds."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return self.evaluate(f"{found}.map(item => item.innerText.trim())")

    def screenshot(self, selector: str | None = None) -> np.ndarray:
        """Pixels [H, W, 3] of the whole page, or of the first element that a selector finds."""
        what = f"document.querySelector({json.dumps(selector or 'html')})"
        box = self.evaluate(
            f"(() => {{const b = {what}.getBoundingClientRect();"
            "return [b.x + scrollX, b.y + scrollY, b.width, b.height]})()"
        )
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)
        answer = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        with Image.open(io.BytesIO(base64.b64decode(answer["data"]))) as image:
            return np.asarray(image.convert("RGB"))

    def _read(self) -> dict:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], 60)[0]:
                raise TimeoutError("Chromium does not answer")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("Chromium has ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        name, parameters = message.get("method"), message.get("params", {})
        if name:
            self._events.append(name)
        if name == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith("data:"):
                self.requests.append(url)
        elif name == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif name == "Runtime.exceptionThrown":
            self.messages.append(str(parameters["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.messages.append(" ".join(str(arg.get("value")) for arg in parameters["args"]))
        return message
