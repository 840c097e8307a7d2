"""`telco-stream config`."""

import typer

from telco_stream.cli import options

group = typer.Typer(name="config", no_args_is_help=True, help="Show the settings.")


@group.callback()
def _config() -> None: ...


@group.command()
def show(
    broker: options.Broker = None,
    group: options.Group = None,
    model: options.Model = None,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the settings and the origin of each. Secrets are masked."""
    from telco_stream.cli.session import Session
    from telco_stream.settings import load_traced

    flags = {"bootstrap_servers": broker, "consumer.group_id": group, "model.path": model and str(model)}
    Session(output, quiet=quiet, verbose=verbose).screen.show(load_traced(flags).resolved)
