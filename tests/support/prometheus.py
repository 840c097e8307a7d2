"""Runs a real Prometheus with the project's configuration and rules."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.support.monitoring import MONITORING
from tests.support.scraping import free_port
from tests.support.waiting import wait_until


class Prometheus:
    """A context manager that runs Prometheus; it scrapes each configured job every second at a local port."""

    def __init__(self, folder: Path, jobs: Mapping[str, int]) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{free_port().number}"
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        assert {job["job_name"] for job in config["scrape_configs"]} == set(jobs)
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(MONITORING / "rules.yml")]
        config["scrape_configs"] = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in jobs.items()
        ]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address={self.url.removeprefix('http://')}")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        wait_until(self._is_ready, 30, "Prometheus")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def query(self, expr: str) -> list[Any]:
        """Return the series that a query yields now."""
        query = urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        return result if isinstance(result, list) else [result]

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False
