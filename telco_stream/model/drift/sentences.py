"""Sentences about drift, as terminal and page show them."""

from collections import defaultdict
from collections.abc import Iterator

from telco_stream.model.drift.results import MIN_RECORDS, DriftResult, FeatureDrift
from telco_stream.runtime.humanize import count_of

CAVEAT = (
    "Drift is a change, not damage: the model may be as good as before. `telco-stream quality` measures that, once"
    " outcomes are known."
)
QUALITY_CAVEAT = (
    "Expected from the probabilities alone: it follows a change of the records, but not of what comes of them."
)
#: Characters of a time in UTC to the second.
_TO_SECONDS = 19


def drift_sentences(result: DriftResult) -> Iterator[str]:
    """Yield sentences about the records, the windows, and the features that have drifted by time."""
    since = f" since {_time(result.first)} UTC" if result.first else ""
    rows = count_of(result.baseline_records, "training row")
    yield f"{count_of(result.records, 'record')}{since}, compared with {rows} of model {result.model_version}."
    if result.rejected:
        yield f"{count_of(result.rejected, 'record')} skipped: not of this contract."
    compared = f"{count_of(result.windows, 'window')} of up to {result.window_records:,} records"
    if not result.windows:
        yield f"Too few records: at least {MIN_RECORDS} are needed to distinguish a change from chance."
    elif result.windows == 1:
        yield f"{compared}: drift needs two windows in a row above the limit. Read a longer period."
    else:
        drifted = [feature for feature in result.features if feature.drifted]
        ended = ", or the last one of a drift that has ended" if any(feature.until for feature in drifted) else ""
        yield f"{compared}; the table shows the newest{ended}."
        names = defaultdict(list)
        for feature in sorted(drifted, key=lambda each: each.since or ""):
            names[_describe_period(feature)].append(feature.feature)
        yield from (f"{since} UTC: {', '.join(features)}." for since, features in names.items())
        if not names:
            yield "No drift."


def _describe_period(feature: FeatureDrift) -> str:
    """Return since when a feature has drifted, or from when until when."""
    since = _time(feature.since or "")
    return f"Drifted from {since} to {_time(feature.until)}" if feature.until else f"Drifted since {since}"


def _time(timestamp: str) -> str:
    return timestamp[:_TO_SECONDS].replace("T", " ")
