"""`telco-stream outcomes`."""

from pathlib import Path
from typing import Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.produce import check_rows, send_rows
from telco_stream.cli.session import Session

group = typer.Typer(name="outcomes", no_args_is_help=True, help="Send and check what came of the predictions.")


@group.command()
def send(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file with key, outcome and time.")],
    broker: options.Broker = None,
    model: options.Model = None,
    contract: options.ContractFile = None,
    delimiter: options.Delimiter = ",",
    checkpoint_file: Annotated[Path, typer.Option(metavar="FILE", help="File in which the progress is saved.")] = Path(
        "checkpoints/outcomes.json"
    ),
    delivery: options.Delivery = "exactly-once",
    run_id: options.RunId = None,
    limit: options.RowLimit = None,
    restart: options.RestartPass = False,
    check: options.CheckOnly = False,
    bad_rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Skip bad rows, and write them to FILE with their line and reason."),
    ] = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Send a CSV file of outcomes to their topic. An interrupted run resumes after the last confirmed row."""
    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import outcome_format

    flags = {"bootstrap_servers": broker, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    stop = session.stop  # handle signals from here on
    csv_format = outcome_format(session.contract(contract), parse_delimiter(delimiter))
    if check:
        check_rows(session, file, csv_format, bad_rows)
        return
    from telco_stream.produce.run import ProduceOptions, Target

    target = Target(file, session.settings.topics.outcomes, checkpoint_file)
    run_options = ProduceOptions(
        "batch", delivery, run_id, limit, restart=restart, bad_rows=bad_rows, csv_format=csv_format, target=target
    )
    send_rows(session, stop, run_options)


@group.command()
def check(
    broker: options.Broker = None,
    group: options.Group = None,
    model: options.Model = None,
    max_consecutive_dead_letters: options.MaxConsecutiveDeadLetters = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check the outcomes that arrived since the last check. Writes a dead letter for each record that is not one."""
    from telco_stream.consume.outcomes import run_outcomes_check
    from telco_stream.display.progress import RowProgress

    flags = {
        "bootstrap_servers": broker,
        "consumer.group_id": group,
        "model.path": model,
        "consumer.max_consecutive_dead_letters": max_consecutive_dead_letters,
    }
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    stop, contract = session.stop, session.contract()
    with session.screen.live(RowProgress("outcomes check")) as bar:
        result = run_outcomes_check(session.clients, contract, stop=stop, on_read=bar.advance)
    session.screen.show(result)
