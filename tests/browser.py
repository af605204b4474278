"""A real browser without a window, driven by the DevTools protocol over a pipe, which needs no
library: each message is JSON followed by a NUL."""

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import PATIENCE, wait_for

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SWITCHES = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars"),
    *("--disable-extensions", "--password-store=basic", "--lang=en-GB", "--mute-audio"),
)
_KEYS = {"Tab": 9}
# Below this number other descriptors of ours may be where the browser expects its two.
_ABOVE = 10


def program() -> str | None:
    """Return the path of the browser, if there is one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Failed(Exception):
    """The browser refused a request."""


class Browser:
    """A running browser, with a profile in `folder`."""

    def __init__(self, path: str, folder: Path) -> None:
        read_ours, write_theirs = os.pipe()
        read_theirs, write_ours = os.pipe()
        theirs = [fcntl.fcntl(one, fcntl.F_DUPFD, _ABOVE) for one in (read_theirs, write_theirs)]
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "bash"),
                *(path, *_SWITCHES, *sandbox, f"--user-data-dir={folder}", "about:blank"),
            ],
            pass_fds=theirs,
            env={**os.environ, "HOME": str(folder), "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for one in (*theirs, read_theirs, write_theirs):
            os.close(one)
        self._out = os.fdopen(write_ours, "wb", buffering=0)
        self._in = os.fdopen(read_ours, "rb", buffering=0)
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        data = b""
        with suppress(OSError, ValueError):
            while part := self._in.read(65536):
                *messages, data = (data + part).split(b"\0")
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                    else:
                        self.events.append(message)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a request, and return the result. Raises Failed."""
        self._number += 1
        number = self._number
        request: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session
        self._out.write(json.dumps(request).encode() + b"\0")
        wait_for(lambda: number in self._answers or not self._reader.is_alive(), method)
        answer = self._answers.pop(number, {"error": {"message": "the browser has gone"}})
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def close(self) -> None:
        """End it along with all of its processes."""
        with suppress(Failed, OSError):
            self.call("Browser.close")
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(PATIENCE)
        self._out.close()
        self._in.close()


class Page:
    """One page; closed with `close`."""

    def __init__(self, browser: Browser, url: str = "about:blank") -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call("Page.navigate", url=url)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a request to this page."""
        return self._browser.call(method, self._session, **parameters)

    def does(self, expression: str) -> Any:
        """Return the value of a JavaScript expression. Raises Failed if it throws."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(result["exceptionDetails"]["exception"].get("description", "?"))
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text of the first element that matches a selector; "" if there is none."""
        found = self.does(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return str(found)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that match a selector."""
        quoted = json.dumps(selector)
        return list(self.does(f"[...document.querySelectorAll({quoted})].map(e => e.innerText)"))

    def shows(self, text: str, selector: str = "body") -> None:
        """Wait until the text is shown."""
        seen: list[str] = []

        def shown() -> bool:
            # While it navigates there is no document.
            with suppress(Failed):
                seen[:] = [self.text(selector)]
            return any(text in one for one in seen)

        try:
            wait_for(shown, f"{text!r} in {selector}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows {seen}") from None

    def complaints(self) -> list[str]:
        """Return all errors on the console, and all exceptions."""
        found = []
        for event in list(self._browser.events):
            if event.get("sessionId") != self._session:
                continue
            match event["method"], event["params"]:
                case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                    found.append(str(details.get("exception", details)))
                case "Runtime.consoleAPICalled", {"type": "error" | "warning", "args": arguments}:
                    found.append(str(arguments))
                case "Log.entryAdded", {"entry": {"level": "error" | "warning", "text": text}}:
                    found.append(str(text))
                case "Page.javascriptDialogOpening", parameters:
                    found.append(f"a dialog: {parameters}")
        return found

    def tree(self) -> list[tuple[str, str]]:
        """Return what a screen reader gets: roles and names."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def press(self, key: str) -> None:
        """Press a key."""
        number = _KEYS[key]
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=number
            )

    def looks(self, width: int, height: int, scheme: str, *, mobile: bool = False) -> None:
        """Set the size of the window, and the preferred colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={**size, "x": 0, "y": 0, "scale": 1},
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Close it."""
        with suppress(Failed):
            self._browser.call("Target.closeTarget", targetId=self._target)
