"""`telco-stream train` and `telco-stream model`."""

from pathlib import Path
from typing import Annotated

import typer

from telco_stream.cli import options

group = typer.Typer(name="model", no_args_is_help=True, help="Inspect the model.")


def train(
    data_path: Annotated[Path, typer.Option(metavar="CSV", help="CSV file with labelled customers.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder to write.")] = Path("models/churn"),
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the cross-validation folds.")] = 0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train the model on a labelled CSV file. Cross-validates it and writes it with its manifest."""
    from telco_stream.cli.session import Session
    from telco_stream.errors import UsageError
    from telco_stream.model.artifact import requiring_libraries
    from telco_stream.runtime.clock import utc_timestamp

    with requiring_libraries(
        "To train a model", UsageError, "install telco-stream with all dependencies, or use its larger image"
    ):
        from telco_stream.model.training import train as fit

    session = Session(output, quiet=quiet, verbose=verbose)
    with session.screen.stages() as stages:
        result = fit(data_path, out, created_at=utc_timestamp(), seed=seed, progress=stages)
    session.screen.show(result)
    session.screen.say(f"To score with it, use --model {out} or TELCO_STREAM_MODEL__PATH={out}")


@group.callback()
def _model() -> None: ...


@group.command()
def show(
    model: options.Model = None,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show a model's manifest: version, metrics, features, checksums."""
    from telco_stream.cli.session import Session
    from telco_stream.model.artifact import read_manifest

    session = Session(output, quiet=quiet, verbose=verbose, flags={"model.path": model and str(model)})
    session.screen.show(read_manifest(session.model_folder()))
