"""Where a value comes from: the run's parameter, else the Airflow Variable of this name, else the default.

Runs by schedule have no form to fill in, so what a deployment wants otherwise is a Variable, read when a task runs.
"""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Variable

#: What precedes a parameter's name in its Variable's.
PREFIX = "telco_stream_"


def chosen(params: Mapping[str, Any], name: str, default: Any = None) -> Any:  # noqa: ANN401 - as its schema says
    """The value for a parameter that may be left empty; a number that stands in a Variable is one here."""
    if params.get(name) is not None:
        return params[name]
    text = variable(name)
    if text is None:
        return default
    return type(default)(text) if isinstance(default, int | float) else text


def if_empty(name: str, default: str) -> str:
    """What the form says of a parameter that may be left empty."""
    return f"Empty: the Airflow Variable {PREFIX}{name}, else {default}."


def variable(name: str) -> str | None:
    """The Variable, None where there is none or it is empty."""
    return Variable.get(PREFIX + name, default=None) or None
