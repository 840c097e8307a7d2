"""Reads a value from the run's parameter, else from the Airflow Variable of the same name, else the default.

Scheduled runs have no form, so a deployment sets Variables; they are read when a task runs.
"""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Variable

#: Prefix of the Variables' names.
PREFIX = "telco_stream_"


def chosen(params: Mapping[str, Any], name: str, default: Any = None) -> Any:  # noqa: ANN401 - the parameter's schema has the type
    """Return the value of an optional parameter; convert a Variable to the type of the default."""
    if params.get(name) is not None:
        return params[name]
    text = variable(name)
    if text is None:
        return default
    return type(default)(text) if isinstance(default, int | float) else text


def if_empty(name: str, default: str) -> str:
    """Describe in the form what applies if a parameter is empty."""
    return f"Empty: the Airflow Variable {PREFIX}{name}, else {default}."


def variable(name: str) -> str | None:
    """Return the Variable, or None if it is missing or empty."""
    return Variable.get(PREFIX + name, default=None) or None
