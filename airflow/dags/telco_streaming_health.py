"""Is the stream healthy? Every ten minutes, each question a task of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from telco_airflow.alert import alert
from telco_airflow.command import run
from telco_airflow.deployment import chosen, if_empty
from telco_airflow.limits import too_far_behind, too_many_letters, too_old
from telco_airflow.readiness import not_ready

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
        None, type=["null", "number"], exclusiveMinimum=0, title="Minutes that the share of dead letters looks back",
        description=if_empty("window_minutes", "60"),
    ),
    "readyz_url": Param(
        None, type=["null", "string"], title="Address of a consumer's /readyz",
        description=if_empty("readyz_url", "the check is skipped"),
    ),
}  # fmt: skip


def need(user_error: str | None) -> None:
    """Fail with the complaint, for good: the next look is ten minutes away."""
    if user_error:
        raise AirflowFailException(user_error)


@dag(
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=9),
    default_args={"retries": 0, "on_failure_callback": alert, "execution_timeout": timedelta(minutes=5)},
    params=PARAMS,
    tags=["telco-stream"],
    doc_md="""Asks the pipeline five questions; a failed task's message names the number and the limit.
    `docs/airflow.md` says what each asks. An alert goes to the webhook in the Variable `telco_stream_alert_url`.""",
)
def telco_streaming_health() -> None:
    """Broker and topics first, because without them the others have nothing to ask."""

    @task(multiple_outputs=False)
    def broker_and_topics() -> dict[str, Any]:
        """Kafka answers, and the three topics stand."""
        return run("status")

    @task(multiple_outputs=False)
    def lag(status: dict[str, Any], params: dict[str, Any]) -> None:
        """The group keeps up."""
        need(too_far_behind(status, chosen(params, "max_lag", 10_000)))

    @task(multiple_outputs=False)
    def newest_prediction(status: dict[str, Any], params: dict[str, Any]) -> None:
        """Something has been answered lately."""
        need(too_old(status, chosen(params, "max_age_seconds", 900.0)))

    @task(multiple_outputs=False)
    def dead_letters(params: dict[str, Any]) -> None:
        """Most of what came lately could be scored."""
        minutes = chosen(params, "window_minutes", 60.0)
        since = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        letters = run("dlq", "list", "--summary", "--since", since)["total"]
        predictions = run("report", "--top-k", "0", "--since", since)["total"]
        limit = chosen(params, "max_dead_letter_share", 0.05)
        need(too_many_letters(letters, predictions, limit, minutes))

    @task(multiple_outputs=False)
    def readyz(params: dict[str, Any]) -> None:
        """A consumer says itself that it makes progress."""
        url = chosen(params, "readyz_url")
        if url is None:
            raise AirflowSkipException("no address of a /readyz is given")
        need(not_ready(url))

    status = broker_and_topics()
    lag(status)
    newest_prediction(status)
    status >> dead_letters()
    readyz()


telco_streaming_health()
