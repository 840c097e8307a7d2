"""Check the health of the stream every ten minutes, with one task per check."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from telco_airflow.alert import alert
from telco_airflow.command import run
from telco_airflow.limits import age_error, dead_letter_share_error, lag_error
from telco_airflow.readiness import readiness_error
from telco_airflow.variables import chosen, if_empty

PARAMS = {
    "max_lag": Param(
        None, type=["null", "integer"], minimum=0, title="Largest lag, in records",
        description=if_empty("max_lag", "10,000"),
    ),
    "max_age_seconds": Param(
        None, type=["null", "number"], minimum=0, title="Greatest age of the newest prediction, in seconds",
        description=if_empty("max_age_seconds", "900"),
    ),
    "max_dead_letter_share": Param(
        None, type=["null", "number"], minimum=0, maximum=1, title="Largest share of dead letters, from 0 to 1",
        description=if_empty("max_dead_letter_share", "0.05"),
    ),
    "window_minutes": Param(
        None, type=["null", "number"], exclusiveMinimum=0, title="Period of the share of dead letters, in minutes",
        description=if_empty("window_minutes", "60"),
    ),
    "readyz_url": Param(
        None, type=["null", "string"], title="Address of a consumer's /readyz",
        description=if_empty("readyz_url", "the check is skipped"),
    ),
}  # fmt: skip


def fail_if(error: str | None) -> None:
    """Fail with the message, without a retry: the next run checks again in ten minutes."""
    if error:
        raise AirflowFailException(error)


@dag(
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=9),
    default_args={"retries": 0, "on_failure_callback": alert, "execution_timeout": timedelta(minutes=5)},
    params=PARAMS,
    tags=["telco-stream"],
    doc_md="""Runs five checks; the message of a failed task names the value and its limit. `docs/airflow.md` describes
    each check. Failures are posted to the webhook in the Variable `telco_stream_alert_url`.""",
)
def telco_streaming_health() -> None:
    """Check broker and topics first, because the other checks need them."""

    @task(multiple_outputs=False)
    def broker_and_topics() -> dict[str, Any]:
        """Check that Kafka answers and the three topics exist."""
        return run("status")

    @task(multiple_outputs=False)
    def lag(status: dict[str, Any], params: dict[str, Any]) -> None:
        """Check the lag of the group."""
        fail_if(lag_error(status, chosen(params, "max_lag", 10_000)))

    @task(multiple_outputs=False)
    def newest_prediction(status: dict[str, Any], params: dict[str, Any]) -> None:
        """Check the age of the newest prediction."""
        fail_if(age_error(status, chosen(params, "max_age_seconds", 900.0)))

    @task(multiple_outputs=False)
    def dead_letters(status: dict[str, Any], params: dict[str, Any]) -> None:
        """Check the share of dead letters among recent answers to customers."""
        minutes = chosen(params, "window_minutes", 60.0)
        since = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        customers = ("--source-topic", status["topics"][0]["topic"])
        letters = run("dlq", "list", "--summary", "--since", since, *customers)["total"]
        predictions = run("report", "--top-k", "0", "--since", since)["total"]
        limit = chosen(params, "max_dead_letter_share", 0.05)
        fail_if(dead_letter_share_error(letters, predictions, limit, minutes))

    @task(multiple_outputs=False)
    def readyz(params: dict[str, Any]) -> None:
        """Check the /readyz endpoint of a consumer."""
        url = chosen(params, "readyz_url")
        if url is None:
            raise AirflowSkipException("no address of a /readyz endpoint is set")
        fail_if(readiness_error(url))

    status = broker_and_topics()
    lag(status)
    newest_prediction(status)
    dead_letters(status)
    readyz()


telco_streaming_health()
