"""Options that several commands share, so that they mean the same everywhere."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from telco_stream.runtime import choices

Output: TypeAlias = Annotated[
    Literal["table", "json"], typer.Option("--output", "-o", help="How the result is written to stdout.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Only complaints on stderr.")]
Verbose: TypeAlias = Annotated[bool, typer.Option("--verbose", "-v", help="More talk on stderr.")]
Broker: TypeAlias = Annotated[
    str | None,
    typer.Option("--broker", metavar="HOST:PORT[,...]", help="Kafka's address.  [default: localhost:9092]"),
]
Timeout: TypeAlias = Annotated[
    float,
    typer.Option("--timeout", min=0.1, max=86_400, metavar="SECONDS", help="Time for Kafka to answer, then exit 3."),
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option("--group", metavar="NAME", help="Consumer group.  [default: churn-prediction-group]"),
]
Model: TypeAlias = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="The model's folder.  [default: the bundled model]"),
]
Engine: TypeAlias = Annotated[
    choices.Engine,
    typer.Option("--engine", help="Scoring engine; auto is onnx. sklearn runs any code in the model."),
]
Topic: TypeAlias = Annotated[
    str | None, typer.Option("--topic", metavar="NAME", help="Raw topic.  [default: telco.raw.customers]")
]
TopK: TypeAlias = Annotated[int, typer.Option("--top-k", min=0, metavar="K", help="Customers at risk to list.")]
#: By the time of the answer, which predictions and dead letters share; that of the event may be anything in a letter.
Since: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Only what was answered from then on: 2026-01-31T12:00:00Z, or an age as 2h."
    ),
]
Until: TypeAlias = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Only what was answered before then.")
]
LogFormat: TypeAlias = Annotated[
    Literal["text", "json"], typer.Option("--log-format", help="How the log is written to stderr.")
]
NoLive: TypeAlias = Annotated[bool, typer.Option("--no-live", help="Do not draw a live view on the terminal.")]
MetricsPort: TypeAlias = Annotated[
    int,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65_535,
        metavar="PORT",
        help="Serve /metrics, /healthz and /readyz there; 0 is not at all.",
    ),
]
MetricsHost: TypeAlias = Annotated[
    str | None,
    typer.Option("--metrics-host", metavar="HOST", help="Address of that port; * is every one.  [default: localhost]"),
]
