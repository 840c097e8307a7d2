"""What a run says at its end, also where its workers have found it out; a plugin of pytest's."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.faults.figures import Figures, as_table, write_json

#: Why there is no real Kafka, and what the fault suite's cases have measured.
NO_KAFKA = pytest.StashKey[str]()
FAULT_FIGURES = pytest.StashKey[list[Figures]]()
# Read before a test's surroundings are cleaned.
FULL = os.environ.get("TELCO_STREAM_TEST_FULL") == "1"
FIGURES = os.environ.get("TELCO_STREAM_TEST_FIGURES")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what it knows."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["no_kafka"] = config.stash.get(NO_KAFKA, None)
        config.workeroutput["noted"] = [asdict(one) for one in config.stash.get(FAULT_FIGURES, [])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended; one that broke down has left nothing."""
    left, stash = getattr(node, "workeroutput", {}), node.config.stash
    if reason := left.get("no_kafka"):
        stash[NO_KAFKA] = reason
    stash.setdefault(FAULT_FIGURES, []).extend(Figures(**one) for one in left.get("noted", []))


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
