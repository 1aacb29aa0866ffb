"""A real Chromium, driven by its own protocol: what a person does, and nothing else.

Where there is none, tests are skipped; they fail instead where ``LIFTOS_REQUIRE`` names chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from websockets.sync.client import ClientConnection, connect

from tests.conftest import skip_unless_required

_PATIENCE = 60.0


def program() -> str:
    """Chromium's path; skips or fails the test where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        skip_unless_required("chromium", "there is no Chromium here")
    return str(found)


class Browser:
    """One Chromium with a profile of its own; ``page`` is its only tab."""

    def __init__(self, folder: Path) -> None:
        self._profile = folder / "chromium"
        self._process: subprocess.Popen[bytes] | None = None
        self._line = ExitStack()

    def __enter__(self) -> Self:
        flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--no-proxy-server"]
        if os.geteuid() == 0:  # Chromium's own sandbox does not start as root
            flags.append("--no-sandbox")
        self._process = subprocess.Popen(
            [
                program(),
                *flags,
                "--disable-dev-shm-usage",
                "--remote-debugging-port=0",
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            line = self._line.enter_context(connect(self._tab(), max_size=None, proxy=None))
        except BaseException:
            self._end()
            raise
        self.page = Page(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.close()
        self._end()

    def _end(self) -> None:
        assert self._process
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tab(self) -> str:
        """The address at which the tab listens."""
        told = self._profile / "DevToolsActivePort"
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if told.exists() and (lines := told.read_text().splitlines()):
                url = f"http://127.0.0.1:{lines[0]}/json/list"
                tabs = httpx2.get(url, trust_env=False).json()
                if found := [tab for tab in tabs if tab["type"] == "page"]:
                    return str(found[0]["webSocketDebuggerUrl"])
            time.sleep(0.05)
        raise AssertionError(f"Chromium did not start within {_PATIENCE:g} s")


class Page:
    """A tab, as far as people use one."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._numbers = count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._line.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._line.recv(timeout=_PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, said["error"]
                return dict(said["result"])

    def evaluate(self, script: str) -> Any:
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until a script's value is something; pages may come and go in the meantime."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                if found := self.evaluate(script):
                    return found
            except AssertionError:  # the page went away while it was asked
                pass
            time.sleep(0.05)
        raise AssertionError(f"in vain: {script}\n{self.address}\n{self.text[:2000]}")

    @property
    def address(self) -> str:
        return str(self.evaluate("location.href"))

    @property
    def text(self) -> str:
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def click(self, selector: str) -> None:
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(f"document.readyState === 'complete' && !!{found}")
        self.evaluate(f"{found}.click()")

    def write(self, selector: str, text: str) -> None:
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(f"!!{found}")
        self.evaluate(f"{found}.focus()")
        self.call("Input.insertText", text=text)
