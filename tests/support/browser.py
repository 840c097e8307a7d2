"""A headless Chromium, and axe-core, which checks a page for accessibility."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.cli import ROOT

#: Installed by `make axe`.
AXE = ROOT / "build/axe/node_modules/axe-core/axe.min.js"
#: Flags that stop the browser's background requests.
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Return the path of the system's Chromium, if it has one."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_browser(program: str) -> Iterator[Browser]:
    """Run the browser while the block runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def open_page(
    browser: Browser, file: Path, *, width: int = 1280, height: int = 900, scheme: Any = "light"
) -> Iterator[Page]:
    """Open the file in a window of this size; afterwards check that it requested and logged nothing."""
    events: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.on("console", lambda message: events.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"error: {error}"))
    page.on("request", lambda request: events.append(f"request: {request.url[:100]}"))
    page.goto(file.as_uri())
    events.remove(f"request: {file.as_uri()[:100]}")
    yield page
    context.close()
    assert events == []


def violations(page: Page) -> list[str]:
    """Return a line for each element that violates WCAG 2.2 AA or axe's best practices."""
    # Evaluated, because the page's policy refuses another script element.
    page.evaluate(AXE.read_text())
    result: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html'][:120]} {json.dumps([check['message'] for check in node['any']])[:200]}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]
