"""Score a file: send it exactly once, answer all of it, write a report and verify the ledger."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, task

from telco_airflow import artefacts
from telco_airflow.alert import alert
from telco_airflow.command import result_or_raise, run
from telco_airflow.limits import unanswered_rows_error
from telco_airflow.outcome import Failure
from telco_airflow.variables import chosen, if_empty
from telco_airflow.waiting import WaitForRows

PARAMS = {
    "data_path": Param(
        None, type=["null", "string"], title="CSV to send",
        description=if_empty("data_path", "the file in TELCO_STREAM_PRODUCER__DATA_PATH, else the bundled sample"),
    ),
    "artefacts": Param(
        None, type=["null", "string"], title="Folder for reports and checkpoints, with a subfolder for each run",
        description=if_empty("artefacts", "the folder artefacts where telco-stream runs"),
    ),
    "window_size": Param(
        None, type=["null", "integer"], minimum=1, title="Records in a window of consume",
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
    default_args={"retries": 2, "on_failure_callback": alert},  # the delay is core.default_task_retry_delay
    params=PARAMS,
    tags=["telco-stream"],
    doc_md="""Sends a file as a new pass, waits until its rows can be read, scores them, writes a report, and checks
    that every input was answered exactly once. Any task can be retried safely; `docs/airflow.md` explains why.""",
)
def telco_batch() -> None:
    """Use the run's ID as the ID of the pass, so that a retry of `produce` sends nothing twice."""

    @task(multiple_outputs=False)
    def produce(params: dict[str, Any], run_id: str) -> dict[str, Any]:
        """Send the file."""
        checkpoint = artefacts.run_folder(params, run_id) / "checkpoint.json"
        path = chosen(params, "data_path")
        file_options = ["--data-path", path] if path else []
        pass_options = ["--run-id", run_id, "--checkpoint-file", str(checkpoint)]
        sent = run("produce", "--mode", "batch", "--delivery", "exactly-once", *pass_options, *file_options)
        if not sent["end_offsets"]:
            result_or_raise(Failure("telco-stream produce sent its rows, but Kafka did not return the end offsets"))
        return sent

    @task(multiple_outputs=False)
    def consume(sent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """Answer the whole topic; other members of the group may already have answered the run's rows."""
        size = str(chosen(params, "window_size", 1000))
        result = run("consume", "--mode", "batch", "--window-size", size, "--top-k", "0")
        if error := unanswered_rows_error(run("status"), sent["end_offsets"]):
            result_or_raise(Failure(error))
        return result

    @task(multiple_outputs=False)
    def summarise(params: dict[str, Any], run_id: str, dag_run: Any) -> dict[str, Any]:  # noqa: ANN401 - a type of Airflow
        """Report the answers since the run was due, without storing customers in Airflow's database."""
        folder = artefacts.run_folder(params, run_id)
        since, size = dag_run.run_after.isoformat(), str(chosen(params, "top_k", 10))
        report = run("report", "--since", since, "--top-k", size, "--html", str(folder / "report.html"))
        artefacts.write_json(folder / "report.json", report)
        return {name: value for name, value in report.items() if name != "top"} | {"artefacts": str(folder)}

    @task(multiple_outputs=False)
    def verify() -> dict[str, Any]:
        """Fail if the ledger has missing, duplicated or unexplained answers."""
        return run("verify")

    sent = produce()
    minutes = "{{ params.wait_minutes or var.value.get('telco_stream_wait_minutes', '') or 30 }}"
    wait = WaitForRows(task_id="wait_for_rows", produced=sent, minutes=minutes)
    answered = consume(sent)
    wait >> answered >> summarise() >> verify()


telco_batch()
