"""Screenshots of Airflow's pages with real runs of both DAGs, as a grid and as a graph."""

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
#: The run on the screenshots of each DAG, and their name.
RUNS = {BATCH: ("day-3", "batch"), HEALTH: ("check-3", "health")}


def shoot(images: Path) -> Iterator[Path]:
    """Run Airflow with a new Kafka in a temporary folder and yield the screenshots."""
    with tempfile.TemporaryDirectory() as folder, KafkaContainer() as kafka:
        env = {"TELCO_STREAM_BOOTSTRAP_SERVERS": kafka.bootstrap}
        assert run_cli("topics", "init", env=env).returncode == 0
        airflow = Airflow(Path(folder))
        airflow.migrate()
        with Standalone(airflow, env) as standalone, running_browser(chromium() or "chromium") as browser:
            _run_all(standalone, Path(folder))
            for dag, (run, name) in RUNS.items():
                page = browser.new_page(viewport=SIZE)  # a new page, because the page remembers the graph view
                page.set_default_timeout(180_000)
                page.goto(f"{standalone.url}/auth/token/login")
                page.goto(f"{standalone.url}/dags/{dag}/runs/{run}")
                yield from _screenshots(page, images, name)


def _run_all(standalone: Standalone, home: Path) -> None:
    """Run the batch for three days and check its stream three times; some of the runs fail."""
    good, poisoned = customers(home / "customers.csv", 1000), customers(home / "poisoned.csv", 900, poison=100)
    assert _run(standalone, HEALTH, "check-1") == "failed"  # without a prediction
    assert _run(standalone, BATCH, "day-1", data_path=str(good)) == "success"
    assert _run(standalone, HEALTH, "check-2") == "success"
    assert _run(standalone, BATCH, "day-2", data_path=str(home / "missing.csv")) == "failed"
    assert _run(standalone, BATCH, "day-3", data_path=str(poisoned)) == "success"
    assert _run(standalone, HEALTH, "check-3", max_dead_letter_share=0.01) == "failed"


def _run(standalone: Standalone, dag: str, name: str, **conf: object) -> str:
    standalone.start_run(dag, name, **conf)
    return standalone.wait_for_end(dag, name)


def _screenshots(page: Page, images: Path, name: str) -> Iterator[Path]:
    page.get_by_text("5 Task Instances").wait_for()
    page.wait_for_load_state("networkidle")
    yield _screenshot(page, images / f"airflow-{name}-grid.png")
    page.keyboard.press("g")
    page.wait_for_selector(".react-flow__node")
    page.wait_for_load_state("networkidle")
    yield _screenshot(page, images / f"airflow-{name}-graph.png")


def _screenshot(page: Page, path: Path) -> Path:
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
