"""A pytest plugin that collects the results of xdist workers and prints them at the end of the run."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.faults.figures import Figures, as_table, write_json

#: The reason why no real Kafka is available, and the figures of the fault cases.
NO_KAFKA = pytest.StashKey[str]()
FAULT_FIGURES = pytest.StashKey[list[Figures]]()
# Read at import: `clean_environment` removes the variables. FULL is the long form of the fault suite.
FULL = os.environ.get("TELCO_STREAM_TEST_FULL") == "1"
FIGURES = os.environ.get("TELCO_STREAM_TEST_FIGURES")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass the results of an xdist worker to the main process."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["no_kafka"] = config.stash.get(NO_KAFKA, None)
        config.workeroutput["fault_figures"] = [asdict(figures) for figures in config.stash.get(FAULT_FIGURES, [])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the results of an xdist worker; a crashed worker leaves none."""
    output, stash = getattr(node, "workeroutput", {}), node.config.stash
    if reason := output.get("no_kafka"):
        stash[NO_KAFKA] = reason
    stash.setdefault(FAULT_FIGURES, []).extend(Figures(**figures) for figures in output.get("fault_figures", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if NO_KAFKA in config.stash:
        terminalreporter.section("no real Kafka")
        terminalreporter.line(config.stash[NO_KAFKA])
    if rows := config.stash.get(FAULT_FIGURES, []):
        terminalreporter.section(f"faults, {'full' if FULL else 'short'} form")
        for line in as_table(rows):
            terminalreporter.line(line)
        if FIGURES:
            write_json(rows, Path(FIGURES))
