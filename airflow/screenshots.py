"""Airflow's pages with real runs of both DAGs, as pictures for docs/airflow.md: `python -m airflow.screenshots`.

Starts a Kafka in a container and a whole Airflow in a temporary folder, and stops both.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from airflow.tests.support.files import customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.standalone import Standalone
from playwright.sync_api import Page

from tests.support.browser import chromium, started
from tests.support.cli import ROOT, run_cli
from tests.support.kafka_container import KafkaContainer

IMAGES = ROOT / "docs/images"
SIZE = {"width": 1440, "height": 720}
BATCH, HEALTH = "telco_batch", "telco_streaming_health"


def main() -> None:
    """Write the four pictures."""
    program = chromium() or sys.exit("There is no Chromium; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as folder, KafkaContainer() as kafka:
        env = {"TELCO_STREAM_BOOTSTRAP_SERVERS": kafka.bootstrap}
        assert run_cli("topics", "init", env=env).returncode == 0
        home = Path(folder)
        airflow = Airflow(home)
        airflow.migrate()
        with Standalone(airflow, env) as standalone:
            run_all(standalone, home)
            with started(program) as browser:
                for dag, newest, name in ((BATCH, "day-3", "batch"), (HEALTH, "look-3", "health")):
                    page = browser.new_page(viewport=SIZE)  # with a memory of its own: it would keep to the graph
                    page.goto(f"{standalone.url}/auth/token/login")
                    show(page, f"{standalone.url}/dags/{dag}/runs/{newest}", name)


def run_all(standalone: Standalone, home: Path) -> None:
    """Three days of a batch and three looks at its stream, one of each with trouble."""
    good, poisoned = customers(home / "customers.csv", 1000), customers(home / "poisoned.csv", 900, poison=100)
    ended = [run(standalone, HEALTH, "look-1"), run(standalone, BATCH, "day-1", data_path=str(good))]
    ended += [run(standalone, HEALTH, "look-2"), run(standalone, BATCH, "day-2", data_path=str(home / "none.csv"))]
    ended += [run(standalone, BATCH, "day-3", data_path=str(poisoned))]
    ended += [run(standalone, HEALTH, "look-3", max_dead_letter_share=0.01)]
    expected = ["failed", "success", "success", "failed", "success", "failed"]
    assert ended == expected, ended


def run(standalone: Standalone, dag: str, name: str, **conf: object) -> str:
    """How the run has ended."""
    standalone.start_run(dag, name, **conf)
    return standalone.wait_for_end(dag, name)


def show(page: Page, address: str, name: str) -> None:
    """A run beside the grid of all, and beside the graph."""
    page.goto(address)
    page.get_by_text("5 Task Instances").wait_for()
    page.wait_for_load_state("networkidle")
    save(page, f"airflow-{name}-grid.png")
    page.keyboard.press("g")
    page.wait_for_selector(".react-flow__node", timeout=120_000)
    page.wait_for_load_state("networkidle")
    save(page, f"airflow-{name}-graph.png")


def save(page: Page, name: str) -> None:
    """The picture, with 64 colours, which are enough for boxes and text."""
    path = IMAGES / name
    page.screenshot(path=path)
    if convert := shutil.which("convert"):
        subprocess.run([convert, path, "-colors", "64", "-strip", f"png8:{path}"], check=True)


if __name__ == "__main__":
    main()
