"""Maps the end of a `telco-stream` process to a result or a failure; pure, so that tests need no Airflow."""

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Exit codes that a retry cannot change: usage, model, data. docs/airflow.md lists them.
PERMANENT_EXIT_CODES = frozenset({2, 4, 5})
#: Maximum length of an error in characters; the task's log has all of it.
_MAX_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason in one line why a command has no result; `is_permanent` if a retry would fail too."""

    message: str
    is_permanent: bool = False


def outcome(args: Sequence[str], code: int, stdout: str, last_line: str, *, stopped: bool) -> dict[str, Any] | Failure:
    """Return the command's JSON, or the failure; `stopped` if its task forwarded SIGTERM to it."""
    name = f"telco-stream {args[0]}"
    if stopped:
        return Failure(f"{name} was stopped by SIGTERM; the next try continues")
    if code < 0:
        return Failure(f"{name} was killed by {signal.Signals(-code).name}; the next try continues")
    if code:
        error = last_line.removeprefix("Error: ")[:_MAX_ERROR_LENGTH]
        return Failure(f"{name} exited with {code}: {error or 'no error message'}", code in PERMANENT_EXIT_CODES)
    return _result(name, stdout)


def _result(name: str, stdout: str) -> dict[str, Any] | Failure:
    try:
        result = json.loads(stdout)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        return Failure(f"{name} printed no JSON object; check the Variable telco_stream_command", is_permanent=True)
    if result.get("stopped_by") == "signal":
        return Failure(f"{name} was stopped by a signal; the next try continues")
    return result
