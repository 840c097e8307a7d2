"""Tables of `quality` in a terminal of 80 columns."""

from dataclasses import replace

import numpy as np

from telco_stream.model.quality import Coverage, QualityResult, VersionQuality
from telco_stream.quality.measures import calibration, measure
from tests.support.captured_screen import CapturedScreen

PROBABILITY = np.array([0.1, 0.2, 0.7, 0.9])
KNOWN = measure(PROBABILITY, np.array([False, True, False, True]), PROBABILITY > 0.5, 0.5)
RESULT = QualityResult(
    horizon_days=30.0,
    capacity=0.5,
    coverage=Coverage(6, 4, 2, 9, 1, 0, 3, 1, 0, 1),
    total=KNOWN,
    calibration=calibration(PROBABILITY, np.array([False, True, False, True])),
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
    assert "2026-11-28-597d142a 2026-11-23 4 0.750 0.288 0.500 0.500" in lines, "neither version nor week is cut"
    assert max(map(len, captured.stdout.splitlines())) <= 80
    assert "All known outcomes" not in captured.stdout


def test_tables_warn_when_all_outcomes_are_the_same() -> None:
    """Of those who left alone, every flagged customer has left."""
    captured = CapturedScreen(environ={"COLUMNS": "80"})
    captured.screen.show(replace(RESULT, total=measure(PROBABILITY, np.ones(4, bool), PROBABILITY > 0.5, 0.5)))
    assert "All known outcomes are positive: without the others, these figures say nothing." in captured.stdout
