"""Options that several commands share, so that they mean the same everywhere."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

Output: TypeAlias = Annotated[
    Literal["table", "json"], typer.Option("--output", "-o", help="How the result is written to stdout.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Only complaints on stderr.")]
Verbose: TypeAlias = Annotated[bool, typer.Option("--verbose", "-v", help="More talk on stderr.")]
Broker: TypeAlias = Annotated[
    str | None, typer.Option("--broker", metavar="HOST:PORT[,...]", help="Kafka's address.", show_default="localhost:9092")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait for Kafka before exit 3.")
]
Group: TypeAlias = Annotated[
    str | None, typer.Option("--group", help="Consumer group.", show_default="churn-prediction-group")
]
Model: TypeAlias = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="The model's folder.", show_default="models/churn, or the shipped one"),
]
Engine: TypeAlias = Annotated[
    Literal["auto", "onnx", "sklearn"], typer.Option("--engine", help="What scores; auto is onnx where it is vouched for.")
]
Topic: TypeAlias = Annotated[str | None, typer.Option("--topic", help="Raw topic.", show_default="telco.raw.customers")]
TopK: TypeAlias = Annotated[int, typer.Option("--top-k", min=0, metavar="K", help="Customers at risk to list.")]
MetricsPort: TypeAlias = Annotated[
    int,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65_535,
        metavar="PORT",
        help="Serve /metrics, /healthz and /readyz at this port of all addresses; 0 is not at all.",
    ),
]
Delivery: TypeAlias = Literal["exactly-once", "at-least-once"]
