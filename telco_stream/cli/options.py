"""Options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from telco_stream.errors import UsageError
from telco_stream.runtime import choices


@dataclass(frozen=True, slots=True)
class Setting:
    """Dotted name of the setting that an option overrides, as metadata of its type; `mode` if it does in one mode."""

    name: str
    mode: choices.Mode | None = None


Output: TypeAlias = Annotated[choices.Output, typer.Option("--output", "-o", help="Format of the result on stdout.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Write only warnings and errors to stderr.")]
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also log settings, files and connections to stderr.")
]
Broker: TypeAlias = Annotated[
    str | None,
    typer.Option("--broker", metavar="HOST:PORT[,...]", help="Kafka brokers.  [default: localhost:9092]"),
    Setting("bootstrap_servers"),
]
Timeout: TypeAlias = Annotated[
    float,
    typer.Option(
        "--timeout", min=0.1, max=86_400, metavar="SECONDS", help="Exit 3 if Kafka does not answer in SECONDS."
    ),
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option("--group", metavar="NAME", help="Consumer group.  [default: churn-prediction-group]"),
    Setting("consumer.group_id"),
]
Model: TypeAlias = Annotated[
    Path | None,
    typer.Option("--model", metavar="SOURCE", help="Model folder, or kafka:TOPIC.  [default: the bundled model]"),
    Setting("model.path"),
]
Engine: TypeAlias = Annotated[
    choices.Engine,
    typer.Option("--engine", help="Scoring engine; auto is onnx. sklearn unpickles the model, which can run any code."),
]


def model_folder(value: Path) -> Path:
    """Return the value of an option that takes a model folder only; raise `UsageError` if it is `kafka:TOPIC`."""
    if choices.models_topic(str(value)) is not None:
        raise UsageError(f"{value} is a topic; give a model folder")
    return value


ModelOut: TypeAlias = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Model folder to write.", callback=model_folder)
]
Topic: TypeAlias = Annotated[
    str | None,
    typer.Option("--topic", metavar="NAME", help="Raw topic.  [default: telco.raw.customers]"),
    Setting("topics.raw"),
]
ContractFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--contract", metavar="FILE", help="Contract of the file's columns.  [default: that of the model]"),
]
Delimiter: TypeAlias = Annotated[
    str, typer.Option("--delimiter", metavar="CHAR", help="Character between columns, or the word tab.")
]
RunId: TypeAlias = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", help="ID of the run; a run that has finished sends nothing again."),
]
RowLimit: TypeAlias = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Stop after N rows.")]
RestartPass: TypeAlias = Annotated[bool, typer.Option("--restart", help="Ignore saved progress and start over.")]
CheckOnly: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--check", help="Only validate the file, without a broker: list the first 20 bad rows and exit with 5."
    ),
]
Delivery: TypeAlias = Annotated[choices.DeliveryGuarantee, typer.Option("--delivery", help="Delivery guarantee.")]
MaxConsecutiveDeadLetters: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--max-consecutive-dead-letters",
        min=0,
        metavar="N",
        help="Stop after N consecutive dead letters; 0 disables it.  [default: 1000]",
    ),
    Setting("consumer.max_consecutive_dead_letters"),
]
NumberRows: TypeAlias = Annotated[
    bool, typer.Option("--number-rows", help="Number the rows from 1, for a file without a key.")
]
TOP_K = 10
TopK: TypeAlias = Annotated[
    int, typer.Option("--top-k", min=0, metavar="K", help="Number of the highest probabilities to list.")
]
#: Answers are filtered by the time of the answer, because the event time of a dead letter can be invalid.
Since: TypeAlias = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only records from TIME on: 2026-11-01T08:00Z, or an age such as 2h."),
]
Until: TypeAlias = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only records before TIME.")]
ModelVersion: TypeAlias = Annotated[
    str | None, typer.Option("--model-version", metavar="VERSION", help="Only predictions of this model version.")
]
OutcomesFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--outcomes", metavar="FILE", help="CSV file of outcomes.  [default: the outcomes topic]"),
]
Horizon: TypeAlias = Annotated[
    str, typer.Option("--horizon", metavar="TIME", help="Time after a prediction within which its outcome counts.")
]
Threshold: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--threshold", min=0, max=1, metavar="P", help="Threshold of the prediction.  [default: the highest F1]"
    ),
]
ContactCost: TypeAlias = Annotated[
    float | None,
    typer.Option("--contact-cost", min=0, metavar="COST", help="Cost of a contact, for the most profitable threshold."),
]
CustomerValue: TypeAlias = Annotated[
    float | None,
    typer.Option("--customer-value", min=0, metavar="VALUE", help="Value of a prevented positive label."),
]
LogFormat: TypeAlias = Annotated[
    choices.LogFormat | None,
    typer.Option("--log-format", help="Format of the log on stderr.  [default: sentences on a terminal, else text]"),
]
NoLive: TypeAlias = Annotated[bool, typer.Option("--no-live", help="Do not draw a live view on the terminal.")]
MetricsPort: TypeAlias = Annotated[
    int,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65_535,
        metavar="PORT",
        help="Serve /metrics, /healthz and /readyz on PORT; 0 disables it.",
    ),
]
MetricsHost: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--metrics-host", metavar="HOST", help="Address for --metrics-port; * is all addresses.  [default: localhost]"
    ),
    Setting("metrics.host"),
]


def check_metrics(host: str | None, port: int) -> None:
    """Raise `UsageError` for a metrics host without a port, which would have no effect."""
    if host is not None and not port:
        raise UsageError("--metrics-host requires --metrics-port: without it, no metrics are served")
