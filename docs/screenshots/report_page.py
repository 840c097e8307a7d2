"""Screenshots of the page of `report --html`: light, dark, on a phone and printed."""

import json
import random
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.browser import chromium, open_page, running_browser
from tests.support.cli import run_cli
from tests.support.kafka_container import KafkaContainer
from tests.support.topics import Outgoing, read_topic, send

CUSTOMERS = 7_000
DAYS = 14
RAW, PREDICTIONS = "telco.raw.customers", "telco.churn.predictions"
SCORED = f"{PREDICTIONS}-as-made"
#: Records that become dead letters.
BROKEN = [b"not JSON"] * 17 + [b'{"customerID": "x"}'] * 9 + [b""] * 4 + [b"\xff"] * 2
#: Width, colour scheme and last visible section of each screenshot.
SCREENS: dict[str, tuple[int, Any, str]] = {
    "report-light": (1280, "light", "#time"),
    "report-dark": (1280, "dark", "#segments"),
    "report-phone": (390, "light", "#customers"),
}


def shoot(images: Path) -> Iterator[Path]:
    """Run the pipeline on a new Kafka and yield the screenshots of its report."""
    with tempfile.TemporaryDirectory() as folder, KafkaContainer() as kafka:
        page = _report(kafka.bootstrap, Path(folder))
        with running_browser(chromium() or "chromium") as browser:
            for name, (width, scheme, last) in SCREENS.items():
                with open_page(browser, page, width=width, scheme=scheme) as shown:
                    height = shown.locator(last).evaluate("element => element.getBoundingClientRect().bottom") + 16
                    clip: Any = {"x": 0, "y": 0, "width": width, "height": height}
                    shown.screenshot(path=images / f"{name}.png", full_page=True, clip=clip)
            with open_page(browser, page) as shown:
                (Path(folder) / "report.pdf").write_bytes(shown.pdf(prefer_css_page_size=True, print_background=True))
        _render_first_page(Path(folder) / "report.pdf", images / "report-print")
    for name in [*SCREENS, "report-print"]:
        yield _reduce_colours(images / f"{name}.png")


def _report(bootstrap: str, folder: Path) -> Path:
    """Write the page with real predictions whose times are spread over two weeks."""
    env = {"TELCO_STREAM_BOOTSTRAP_SERVERS": bootstrap}
    scoring = env | {"TELCO_STREAM_TOPICS__PREDICTIONS": SCORED}
    _run("topics", "init", env=env, cwd=folder)
    _run("topics", "init", env=scoring, cwd=folder)
    _run("sample", "--rows", str(CUSTOMERS), "--out", "customers.csv", env=env, cwd=folder)
    _run("produce", "--mode", "batch", "--data-path", "customers.csv", env=env, cwd=folder)
    send(bootstrap, RAW, [(None, value, []) for value in BROKEN])
    _run("consume", "--mode", "batch", env=scoring, cwd=folder)
    send(bootstrap, PREDICTIONS, _spread_times(bootstrap))
    _run("report", "--html", "report.html", env=env, cwd=folder)
    return folder / "report.html"


def _spread_times(bootstrap: str) -> Iterator[Outgoing]:
    """Yield the predictions with times spread over two weeks, mostly by day."""
    rng, now = random.Random(7), datetime.now(UTC)
    for record in read_topic(bootstrap, SCORED):
        time = now - timedelta(days=rng.uniform(0, DAYS))
        if rng.random() < 0.6:
            time = time.replace(hour=min(19, max(8, round(rng.gauss(13, 3)))))
        prediction = record.json() | {"processed_ts": min(time, now).isoformat()}
        yield record.key, json.dumps(prediction), []


def _render_first_page(pdf: Path, image: Path) -> None:
    subprocess.run(["pdftoppm", "-png", "-r", "90", "-f", "1", "-l", "1", "-singlefile", pdf, image], check=True)


def _reduce_colours(image: Path) -> Path:
    """Reduce the image to 64 colours, which loses nothing."""
    Image.open(image).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(image, optimize=True)
    return image


def _run(*arguments: str, env: dict[str, str], cwd: Path) -> None:
    run = run_cli(*arguments, "--quiet", env=env, cwd=cwd)
    assert run.returncode == 0, run.stderr
