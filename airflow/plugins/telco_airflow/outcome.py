"""What an end of `telco-stream` means for the task that ran it: pure, so that it is tested without Airflow."""

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Exit codes that a second try can't change: usage, the model, the data. docs/airflow.md says the same.
HOPELESS = frozenset({2, 4, 5})
#: Characters of a complaint that are shown; the whole is in the task's log.
_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command gave no result, in one line; `hopeless` where a second try would end the same way."""

    message: str
    hopeless: bool = False


def outcome(args: Sequence[str], code: int, stdout: str, last_line: str, *, stopped: bool) -> dict[str, Any] | Failure:
    """The command's JSON, or why there is none; `stopped` where SIGTERM reached it through its task."""
    name = f"telco-stream {args[0]}"
    if stopped:
        return Failure(f"{name} was stopped by SIGTERM; the next try goes on where it was")
    if code < 0:
        return Failure(f"{name} was killed by {signal.Signals(-code).name}; the next try goes on where it was")
    if code:
        said = last_line.removeprefix("Error: ")[:_SHOWN]
        return Failure(f"{name} ended with {code}: {said or 'it said nothing'}", code in HOPELESS)
    return _result(name, stdout)


def _result(name: str, stdout: str) -> dict[str, Any] | Failure:
    try:
        result = json.loads(stdout)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        return Failure(f"{name} answered no JSON object; is the Variable telco_stream_command right?", hopeless=True)
    if result.get("stopped_by") == "signal":
        return Failure(f"{name} was stopped by a signal; the next try goes on where it was")
    return result
