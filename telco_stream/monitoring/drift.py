"""Drift in a run: counts the records of each committed batch, and compares windows of them with the baseline."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from telco_stream.errors import ModelError
from telco_stream.model.drift.baseline import Floats
from telco_stream.model.drift.estimate import expected_quality
from telco_stream.model.drift.results import ExpectedQuality, FeatureDrift
from telco_stream.model.drift.tracking import ComparedWindow, DriftTracker, open_tracker
from telco_stream.model.drift.windows import Block, OpenWindow
from telco_stream.model.features import Table, feature_table
from telco_stream.model.serving import Models, ServingModels
from telco_stream.monitoring.protocols import BatchTimings, RunObserver
from telco_stream.runtime.logs import list_facts
from telco_stream.scoring import Outcome
from telco_stream.settings import DriftSettings

log = logging.getLogger("telco_stream.monitoring.drift")


class DriftMonitor(RunObserver):
    """Observer that looks for drift in windows of all records, and logs the features that drift.

    Its public attributes may be read from another thread. Another serving model begins a new window, with its own
    baseline. `clock` returns seconds since 1970.
    """

    def __init__(self, models: Models, settings: DriftSettings, clock: Callable[[], float] = time.time) -> None:
        self._models, self._settings, self._clock = models, settings, clock
        self._serving: ServingModels | None = None
        self._tracker: DriftTracker | None = None
        self._window: OpenWindow | None = None
        #: Rows of the batch that is being committed, and the scores of the serving model.
        self._delivering: tuple[Table, Sequence[float]] | None = None
        #: Names of the features, as soon as there is a baseline.
        self.features: Sequence[str] = ()
        self._newest: ComparedWindow | None = None
        #: Number of windows that were compared.
        self.windows = 0
        #: Probabilities in the newest window, and the threshold of their model.
        self._scores: tuple[Sequence[float] | Floats, float] = ((), 0.0)

    @property
    def newest(self) -> Sequence[FeatureDrift]:
        """Features in the newest window."""
        newest = self._newest
        return newest.features if newest else ()

    @property
    def expected(self) -> ExpectedQuality | None:
        """Quality that the probabilities of the newest window imply, computed when it is asked for."""
        scores, threshold = self._scores
        return expected_quality(scores, threshold) if len(scores) else None

    def on_poll(self) -> None:
        """Compare the window if it is old enough."""
        if self._window:
            self._compare(self._window.take_if_over(self._clock()))

    def on_delivering(self, outcome: Outcome) -> None:
        """Keep the features and scores of the batch, while it is being committed."""
        self._delivering = None
        if not self._settings.window_records:
            return
        serving = self._models.active
        if self._serving is None or serving.scorer.version != self._serving.scorer.version:
            self._begin(serving)
        if self._tracker is None or not outcome.events:
            return
        scores = outcome.probabilities
        if serving.canary:  # whose scores the baseline does not describe
            version = serving.scorer.version
            scores = [each.probability for each in outcome.predictions if each.model_version == version]
        table = feature_table(serving.scorer.codec.events, outcome.events)
        self._delivering = table, scores

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:  # noqa: ARG002 - the protocol's parameters
        """Add the records of the batch to the window."""
        delivering, self._delivering = self._delivering, None
        if self._window and delivering:
            self._compare(self._window.add(*delivering, self._clock()))

    def finish(self) -> None:
        """Compare the last window, if it has enough records."""
        if self._window:
            self._compare(self._window.take())

    def _begin(self, serving: ServingModels) -> None:
        """Begin with the baseline of another model."""
        self._serving, self._tracker, self._window, self._newest, self.features = serving, None, None, None, ()
        self._scores = ((), 0.0)
        try:
            self._tracker = open_tracker(serving.baseline, serving.scorer)
        except ModelError as error:
            facts = {"version": serving.scorer.version, "reason": str(error)}
            extra = {"event": "drift_unmonitored", "facts": facts}
            log.info("drift is not monitored: %s", error, extra=extra)
            return
        self.features = self._tracker.names
        size = min(self._settings.window_records, self._tracker.largest_window)
        self._window = OpenWindow(self._tracker.counter, size, self._settings.window_seconds)

    def _compare(self, windows: Iterable[Block]) -> None:
        if self._tracker is None or self._serving is None:
            return
        for window in windows:
            before = self._newest.drifted if self._newest else {}
            self._newest = self._tracker.add(window.counts, window.started)
            self._scores = (window.scores, self._serving.scorer.threshold)
            self.windows += 1
            _log_changes(before, self._newest.drifted, window.records)


def _log_changes(before: Mapping[str, str], now: Mapping[str, str], records: int) -> None:
    """Log the features whose drift has begun or ended in a window of this many records."""
    if new := [name for name in now if name not in before]:
        facts = {"features": ", ".join(new), "since": now[new[0]], "records": records}
        log.warning("features have drifted: %s", list_facts(facts), extra={"event": "drift", "facts": facts})
    if ended := [name for name in before if name not in now]:
        facts = {"features": ", ".join(sorted(ended)), "records": records}
        log.info("drift has ended: %s", list_facts(facts), extra={"event": "drift_ended", "facts": facts})
