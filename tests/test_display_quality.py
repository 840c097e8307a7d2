"""Tables of `quality` in a terminal of 80 columns."""

from dataclasses import replace

import numpy as np

from telco_stream.model.quality import Coverage, QualityResult, VersionQuality
from telco_stream.quality.measures import measure
from tests.support.captured_screen import CapturedScreen

PROBABILITY = np.array([0.1, 0.2, 0.7, 0.9])
KNOWN = measure(PROBABILITY, np.array([False, True, False, True]), PROBABILITY > 0.5, 0.25)
RESULT = QualityResult(
    horizon_days=30.0,
    capacity=0.25,
    coverage=Coverage(6, 4, 2, 9, 1, 0, 3, 1, 0, 1),
    total=KNOWN,
    by_version=[VersionQuality("2026-11-28-597d142a", None, KNOWN)],
    by_week=[VersionQuality("2026-11-28-597d142a", "2026-11-23", KNOWN)],
)


def test_tables_say_what_was_joined_and_what_was_not() -> None:
    captured = CapturedScreen(environ={"COLUMNS": "80"})
    captured.screen.show(RESULT)
    lines = [" ".join(line.split()) for line in captured.stdout.splitlines()]
    assert lines[:5] == [
        "4 of 6 predictions have an outcome within 30 days; 2 can still get one.",
        "Not used of 9 outcomes: 1 for a key without predictions, 3 after the horizon, 1",
        "followed by a newer one.",
        "1 record skipped: not outcomes of this contract; telco-stream outcomes check",
        "writes a dead letter with the reason for each.",
    ]
    for name in ("2026-11-28-597d142a", "2026-11-23"):  # neither is cut
        assert f"{name} 4 0.750 0.288 0.756" in lines
        assert f"{name} 0.500 0.500 1.000 0.500" in lines
    first, second = KNOWN.auc, KNOWN.recall_at_capacity
    assert first is not None
    assert second is not None
    assert sum(line.startswith(f"{first.low:.3f}\N{EN DASH}{first.high:.3f}") for line in lines) == 2
    assert sum(line.endswith(f" {second.low:.3f}\N{EN DASH}{second.high:.3f}") for line in lines) == 2
    assert "Model version, week Precision Recall at 25.0% at 25.0%" in lines
    assert max(map(len, captured.stdout.splitlines())) <= 80
    assert "All known outcomes" not in captured.stdout


def test_tables_have_figure_and_interval_on_a_line_when_narrow() -> None:
    captured = CapturedScreen(environ={"COLUMNS": "40"})
    captured.screen.show(RESULT)
    lines = [" ".join(line.split()) for line in captured.stdout.splitlines()]
    assert lines.count("Model version, week 2026-11-23") == 2
    assert lines.count("AUC 0.750 0.069\N{EN DASH}0.992") == 2
    assert lines.count("Precision at 25.0% 1.000 0.207\N{EN DASH}1.000") == 2


def test_tables_warn_when_all_outcomes_are_the_same() -> None:
    """Of those who left alone, every flagged customer has left."""
    captured = CapturedScreen(environ={"COLUMNS": "80"})
    captured.screen.show(replace(RESULT, total=measure(PROBABILITY, np.ones(4, bool), PROBABILITY > 0.5, 0.5)))
    assert "All known outcomes are positive: without the others, these figures say nothing." in captured.stdout
