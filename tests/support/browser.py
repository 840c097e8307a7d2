"""A real Chromium without a window, and axe-core, which finds what keeps people from reading a page."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.cli import ROOT

#: `make axe` puts it there.
AXE = ROOT / "build/axe/node_modules/axe-core/axe.min.js"
#: What a browser does by itself is none of a test's business.
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where this system's Chromium is."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def started(program: str) -> Iterator[Browser]:
    """The browser, gone at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path, *, width: int = 1280, height: int = 900, scheme: Any = "light"
) -> Iterator[Page]:
    """The file in a window of this size; in the end nothing has been asked of a network or said on the console."""
    trouble: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.on("console", lambda said: trouble.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    page.on("request", lambda asked: trouble.append(f"request: {asked.url[:100]}"))
    page.goto(file.as_uri())
    trouble.remove(f"request: {file.as_uri()[:100]}")
    yield page
    context.close()
    assert trouble == []


def violations(page: Page) -> list[str]:
    """What axe finds wrong, by its rules for WCAG 2.2 AA and its best practices; a line for each element."""
    # Not by a script element, which the page's own policy would refuse.
    page.evaluate(AXE.read_text())
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:120]} {json.dumps([check['message'] for check in node['any']])[:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
