"""The alert hook: posts a failed task as JSON to the webhook in the Variable telco_stream_alert_url."""

import json
import logging
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from airflow.sdk import Context

from telco_airflow.variables import variable

log = logging.getLogger(__name__)

#: Time limit of the webhook in seconds.
_TIMEOUT = 10


def alert(context: Context) -> None:
    """Post to the webhook if one is set. Log a warning if that fails: the task has failed anyway."""
    url = variable("alert_url")
    if url is None:
        log.info("no alert: the Variable telco_stream_alert_url is not set")
        return
    if not url.startswith(("http://", "https://")):
        log.warning("no alert: the Variable telco_stream_alert_url is not an http or https address")
        return
    try:
        _post(url, alert_content(context))
    except (OSError, HTTPException, ValueError) as error:
        # The address often is a secret itself.
        reason = f"HTTP {error.code}" if isinstance(error, HTTPError) else type(error).__name__
        log.warning("the alert could not be posted: %s", reason)


def alert_content(context: Context) -> dict[str, Any]:
    """Return the JSON object for the webhook; chat programs show `text`."""
    task, error = context["ti"], context.get("exception")
    message = " ".join(str(error or "the task failed").split())
    return {
        "text": f"{task.dag_id}.{task.task_id}: {message}",
        "dag_id": task.dag_id,
        "task_id": task.task_id,
        "run_id": task.run_id,
        "try_number": task.try_number,
        "message": message,
    }


def _post(url: str, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - http or https, as checked
    with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - as above
        log.info("alert sent: HTTP %d", answer.status)
