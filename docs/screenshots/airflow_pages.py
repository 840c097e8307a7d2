"""Airflow's pages with real runs of both DAGs: all runs beside one of them, and one as a graph."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from airflow.tests.support.files import customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.standalone import Standalone
from PIL import Image
from playwright.sync_api import Page, ViewportSize

from tests.support.browser import chromium, running_browser
from tests.support.cli import run_cli
from tests.support.kafka_container import KafkaContainer

SIZE: ViewportSize = {"width": 1440, "height": 720}
BATCH, HEALTH = "telco_batch", "telco_streaming_health"
#: The run that each pair of pictures shows, and what the pictures are called.
SHOWN = {BATCH: ("day-3", "batch"), HEALTH: ("look-3", "health")}


def shoot(images: Path) -> Iterator[Path]:
    """Runs a whole Airflow on a Kafka of its own, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, KafkaContainer() as kafka:
        env = {"TELCO_STREAM_BOOTSTRAP_SERVERS": kafka.bootstrap}
        assert run_cli("topics", "init", env=env).returncode == 0
        airflow = Airflow(Path(folder))
        airflow.migrate()
        with Standalone(airflow, env) as standalone, running_browser(chromium() or "chromium") as browser:
            _run_all(standalone, Path(folder))
            for dag, (run, name) in SHOWN.items():
                page = browser.new_page(viewport=SIZE)  # with a memory of its own: it would keep to the graph
                page.set_default_timeout(180_000)
                page.goto(f"{standalone.url}/auth/token/login")
                page.goto(f"{standalone.url}/dags/{dag}/runs/{run}")
                yield from _pictures(page, images, name)


def _run_all(standalone: Standalone, home: Path) -> None:
    """Three days of a batch and three looks at its stream, some of them with trouble: other runs, another story."""
    good, poisoned = customers(home / "customers.csv", 1000), customers(home / "poisoned.csv", 900, poison=100)
    assert _run(standalone, HEALTH, "look-1") == "failed"  # there is no prediction yet
    assert _run(standalone, BATCH, "day-1", data_path=str(good)) == "success"
    assert _run(standalone, HEALTH, "look-2") == "success"
    assert _run(standalone, BATCH, "day-2", data_path=str(home / "missing.csv")) == "failed"
    assert _run(standalone, BATCH, "day-3", data_path=str(poisoned)) == "success"
    assert _run(standalone, HEALTH, "look-3", max_dead_letter_share=0.01) == "failed"


def _run(standalone: Standalone, dag: str, name: str, **conf: object) -> str:
    standalone.start_run(dag, name, **conf)
    return standalone.wait_for_end(dag, name)


def _pictures(page: Page, images: Path, name: str) -> Iterator[Path]:
    page.get_by_text("5 Task Instances").wait_for()
    page.wait_for_load_state("networkidle")
    yield _picture(page, images / f"airflow-{name}-grid.png")
    page.keyboard.press("g")
    page.wait_for_selector(".react-flow__node")
    page.wait_for_load_state("networkidle")
    yield _picture(page, images / f"airflow-{name}-graph.png")


def _picture(page: Page, path: Path) -> Path:
    page.screenshot(path=path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
