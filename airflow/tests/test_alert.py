from airflow.tests.support.installed import Airflow
from airflow.tests.support.webhook import Webhook

from tests.support.cli import ROOT
from tests.support.ports import free_port

#: Runs in Airflow's Python: posts an alert of a failed task to each address.
SCRIPT = """
import os, sys
from types import SimpleNamespace
from telco_airflow.alert import alert
task = SimpleNamespace(dag_id="dag", task_id="task", run_id="run", try_number=2)
for address in sys.argv[1:]:
    os.environ["AIRFLOW_VAR_TELCO_STREAM_ALERT_URL"] = address
    alert({"ti": task, "exception": ValueError("two\\nlines")})
    print("returned")
"""


def test_alert_logs_a_warning_without_the_url_when_it_fails(airflow: Airflow, webhook: Webhook) -> None:
    """The address often is a secret itself."""
    broken = [f"http://127.0.0.1:{free_port()}/secret", webhook.url + "/secret/refused", "ftp://secret", "http://["]
    env = {"PYTHONPATH": str(ROOT / "airflow/plugins")}
    completed = airflow.run(["python", "-c", SCRIPT, *broken, webhook.url], env)

    assert completed.returncode == 0, completed.stdout
    assert completed.stdout.count("returned") == 5
    assert "the alert could not be posted: HTTP 500" in completed.stdout
    assert completed.stdout.count("the alert could not be posted") == 3
    assert "no alert: the Variable telco_stream_alert_url is not an http or https address" in completed.stdout
    assert "secret" not in completed.stdout
    assert webhook.alerts == [
        {"text": "dag.task: two lines", "message": "two lines", "try_number": 2}
        | {"dag_id": "dag", "task_id": "task", "run_id": "run"}
    ]
