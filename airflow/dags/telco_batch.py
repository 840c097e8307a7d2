"""A file, scored: sent exactly once, answered to its end, summed up, and the ledger checked."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, task

from telco_airflow import artefacts
from telco_airflow.alert import alert
from telco_airflow.command import raise_failure, run
from telco_airflow.deployment import chosen, if_empty
from telco_airflow.limits import not_answered
from telco_airflow.outcome import Failure
from telco_airflow.waiting import WaitForRows

PARAMS = {
    "data_path": Param(
        None, type=["null", "string"], title="CSV to send",
        description=if_empty("data_path", "the file in TELCO_STREAM_PRODUCER__DATA_PATH, else the shipped sample"),
    ),
    "artefacts": Param(
        None, type=["null", "string"], title="Folder for reports and checkpoints, one folder in it for each run",
        description=if_empty("artefacts", "the folder artefacts where telco-stream runs"),
    ),
    "window_size": Param(
        None, type=["null", "integer"], minimum=1, title="Records in one window of consume",
        description=if_empty("window_size", "1,000"),
    ),
    "top_k": Param(
        None, type=["null", "integer"], minimum=0, title="Customers at risk that the report lists",
        description=if_empty("top_k", "10"),
    ),
    "wait_minutes": Param(
        None, type=["null", "number"], exclusiveMinimum=0, title="Minutes to wait for the rows to be readable",
        description=if_empty("wait_minutes", "30"),
    ),
}  # fmt: skip


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "on_failure_callback": alert},  # core.default_task_retry_delay apart
    params=PARAMS,
    tags=["telco-stream"],
    doc_md="""Sends a file as a new pass, waits until its rows can be read, scores them, writes a report, and checks
    that every input was answered exactly once. A retry at any task is safe; `docs/airflow.md` says why.""",
)
def telco_batch() -> None:
    """The run's id names the pass, so that a second try of `produce` adds nothing."""

    @task(multiple_outputs=False)
    def produce(params: dict[str, Any], run_id: str) -> dict[str, Any]:
        """Send the file."""
        checkpoint = artefacts.run_folder(params, run_id) / "checkpoint.json"
        path = chosen(params, "data_path")
        chosen_file = ["--data-path", path] if path else []
        named = ["--run-id", run_id, "--checkpoint-file", str(checkpoint)]
        sent = run("produce", "--mode", "batch", "--delivery", "exactly-once", *named, *chosen_file)
        if not sent["end_offsets"]:
            raise_failure(Failure("telco-stream produce sent its rows, but Kafka didn't say where the topic ends"))
        return sent

    @task(multiple_outputs=False)
    def consume(sent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """Answer all that stands in the topic; the run's rows may have been answered by other members of the group."""
        size = str(chosen(params, "window_size", 1000))
        done = run("consume", "--mode", "batch", "--window-size", size, "--top-k", "0")
        if behind := not_answered(run("status"), sent["end_offsets"]):
            raise_failure(Failure(behind))
        return done

    @task(multiple_outputs=False)
    def summarise(params: dict[str, Any], run_id: str, dag_run: Any) -> dict[str, Any]:  # noqa: ANN401 - Airflow's own
        """Report what was answered since the run was due; who is at risk stays out of Airflow's database."""
        place = artefacts.run_folder(params, run_id)
        since, size = dag_run.run_after.isoformat(), str(chosen(params, "top_k", 10))
        report = run("report", "--since", since, "--top-k", size, "--html", str(place / "report.html"))
        artefacts.write_json(place / "report.json", report)
        return {name: value for name, value in report.items() if name != "top"} | {"artefacts": str(place)}

    @task(multiple_outputs=False)
    def verify() -> dict[str, Any]:
        """Fail on a gap: a missing answer, a second one, or one that nobody asked for."""
        return run("verify")

    sent = produce()
    minutes = "{{ params.wait_minutes or var.value.get('telco_stream_wait_minutes', '') or 30 }}"
    wait = WaitForRows(task_id="wait_for_rows", produced=sent, minutes=minutes)
    answered = consume(sent)
    wait >> answered >> summarise() >> verify()


telco_batch()
