"""A real browser and a real JupyterLab, both on loopback and both ended by the process that started them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services import require

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--window-size=1500,1100", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
_HOW = "apt-get install chromium chromium-driver"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Return a headless Chromium that reaches this machine alone, with a profile of its own."""
    driver = shutil.which("chromedriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require(driver, "chromedriver", _HOW)
    require(chromium, "Chromium", _HOW)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(driver)))
    started.set_page_load_timeout(60)
    try:
        yield started
    finally:
        started.quit()


class Page:
    """What a test waits for in a browser: everything together within one bound, with a picture where it fails."""

    def __init__(self, driver: Any, picture: Path, seconds: float = 240.0) -> None:
        self.driver = driver
        self.picture = picture
        self.until = time.monotonic() + seconds

    def find(self, selector: str) -> list[Any]:
        """Return the elements that a CSS selector matches."""
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def wait(self, what: str, condition: Callable[[], Any]) -> Any:
        """Return the first true value of `condition`; a page that moved meanwhile is asked again."""
        from selenium.common.exceptions import (
            ElementClickInterceptedException,
            ElementNotInteractableException,
            StaleElementReferenceException,
        )

        while time.monotonic() < self.until:
            with suppress(
                StaleElementReferenceException, ElementClickInterceptedException, ElementNotInteractableException
            ):
                if found := condition():
                    return found
            time.sleep(0.3)
        self.driver.save_screenshot(str(self.picture))
        pytest.fail(f"the browser never showed {what}; its last picture is {self.picture}")

    def click(self, selector: str, label: str) -> None:
        """Click the visible element with this text, as a reader does."""
        self.wait(f"'{label}'", lambda: self._clicked(selector, label))

    def _clicked(self, selector: str, label: str) -> bool:
        for element in self.find(selector):
            if element.is_displayed() and element.text.strip() == label:
                element.click()
                return True
        return False


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Page:
    """Return the browser's page with its waiting."""
    return Page(browser, tmp_path / "failure.png")


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: where it answers, and the folder it serves."""

    url: str
    token: str
    folder: Path

    def page(self, notebook: str) -> str:
        """Return the address that opens a notebook alone, in a workspace of its own."""
        return f"{self.url}lab/workspaces/test/tree/{notebook}?reset&token={self.token}"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Return a JupyterLab on a free port of loopback; everything it writes lies below `tmp_path`."""
    folder, home = tmp_path / "served", tmp_path / "home"
    runtime, config = home / "runtime", home / "config"
    for place in (folder, runtime, config / "labconfig"):
        place.mkdir(parents=True)
    # Without this JupyterLab asks whether it may fetch news.
    disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
    # All cells stay in the page, where the test can see them.
    tracker = home / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text(json.dumps({"windowingMode": "none"}))
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    log = (tmp_path / "jupyter.log").open("wb")
    server = subprocess.Popen(command, cwd=folder, env=_environment(home), stdout=log, stderr=log)
    try:
        yield Lab(_address(server, runtime, tmp_path / "jupyter.log"), token, folder)
    finally:
        server.terminate()  # JupyterLab ends its kernels on the way out
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)
        log.close()


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_", "IPYTHON"))}
    return kept | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(ROOT),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _address(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server has written where it listens, and return it."""
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            text = file.read_text()
            if text.endswith("}") or text.endswith("}\n"):
                return str(json.loads(text)["url"])
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")
