"""The demo on a machine with a missing resource."""

import tempfile
from pathlib import Path

import pytest

from telco_stream.demo import run_demo
from telco_stream.display.progress import WindowReporter
from telco_stream.errors import UsageError
from telco_stream.report.analytics import Window
from telco_stream.runtime.signals import Stop
from tests.support.records import RuleScorer


def test_demo_fails_when_no_temporary_folder_is_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example in a container with a read-only root."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    lines: list[str | Window] = []
    with pytest.raises(UsageError, match="TMPDIR"):
        run_demo(RuleScorer(), stop=Stop(), observer=WindowReporter(lines.append), say=lines.append)
    assert lines == []
