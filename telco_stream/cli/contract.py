"""`telco-stream contract`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.files import STDOUT

if TYPE_CHECKING:
    from telco_stream.contract.schema import Contract

group = typer.Typer(name="contract", no_args_is_help=True, help="Infer, check and show the contract of your columns.")


@group.command()
def infer(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file with a label.", show_default=False)],
    key: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that identifies whom a row is about.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column to predict; it has two values.")] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The label's value whose probability is predicted.")
    ] = None,
    number_rows: Annotated[
        bool, typer.Option("--number-rows", help="Number the rows from 1, for a file without a key.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Contract to write; - is stdout.")] = Path("contract.json"),
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing contract.")] = False,
    delimiter: options.Delimiter = ",",
    segment: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Category by which reports group; repeatable."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column to leave out of the features; repeatable.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option(metavar="NOUN", help="What a key identifies, such as customer.  [default: record]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the contract.  [default: the file's name]")
    ] = None,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write the contract of a CSV file. Reads the whole file; the contract accepts each of its rows.

    Key, label and positive value are never guessed: without them, the command lists candidates and exits with 2.
    """
    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.infer_options import InferOptions
    from telco_stream.csv.inference import Candidates, infer_contract, next_steps
    from telco_stream.csv.reader import count_lines_after_header
    from telco_stream.display.progress import RowProgress

    session = Session(output, quiet=quiet, verbose=verbose, writes_to_stdout=out == STDOUT)
    request = InferOptions(
        path=file,
        out=out,
        key=key,
        label=label,
        positive=positive,
        number_rows=number_rows,
        delimiter=parse_delimiter(delimiter),
        segments=segment or (),
        left_out=leave_out or (),
        entity=entity,
        name=name,
        replace=replace,
    )
    total = count_lines_after_header(file, request.delimiter) if session.screen.has_live_view else None
    with session.screen.live(RowProgress("infer", total)) as bar:
        result = infer_contract(request, bar.advance)
    session.screen.show(result)
    if isinstance(result, Candidates):
        raise UsageError(f"Name {result.missing}: {result.command}")
    for step in next_steps(request, result):
        session.screen.say(step)


@group.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Contract to check.")],
    against: Annotated[
        Path | None,
        typer.Option(metavar="OLD", help="Compare with an older contract; exit 5 if a change is breaking."),
    ] = None,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check a contract, and compare it with an older one. Each error is one line on stderr."""
    from telco_stream.contract.changes import compare
    from telco_stream.contract.summary import summarize

    session = Session(output, quiet=quiet, verbose=verbose)
    contract = _read(session, file)
    summary = summarize(contract)
    for hint in summary.hints:
        session.screen.warn(f"{file}: {hint}")
    if against is None:
        session.screen.show(summary)
        return
    comparison = compare(_read(session, against), contract)
    session.screen.show(comparison)
    if comparison.verdict == "breaking":
        breaking = sum(change.effect == "breaking" for change in comparison.changes)
        count = f"{breaking} of {len(comparison.changes)} changes are breaking"
        raise DataError(f"{file} is not compatible with {against}: {count}")
    if comparison.verdict == "needs retraining":
        session.screen.say(
            f"To use it, train a model: telco-stream train --data-path CSV --contract {quote(str(file))}"
        )


@group.command()
def show(
    model: options.Model = None,
    contract: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show this contract instead of the model's.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Write the JSON Schema of the format instead, for editors.")
    ] = False,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the contract in use. With --output json it is a file that other commands read."""
    from telco_stream.contract.document import json_schema

    if model and contract:
        raise UsageError("--model and --contract both name a contract; use one of them")
    if schema and (model or contract):
        raise UsageError("--schema is that of every contract; use it without --model and --contract")
    session = Session(output, quiet=quiet, verbose=verbose, flags={"model.path": model})
    if schema:
        typer.echo(json_schema(), nl=False)
    else:
        session.screen.show(_read(session, contract) if contract else session.contract())


def _read(session: Session, path: Path) -> "Contract":
    """Read a contract, or print each of its errors and exit."""
    from telco_stream.contract.document import MAX_BYTES, ContractError, decode_contract
    from telco_stream.runtime.files import read_file

    try:
        return decode_contract(read_file(path, MAX_BYTES))
    except ContractError as invalid:
        for error in invalid.errors:
            session.screen.error(UsageError(f"{path}: {error}"))
        raise typer.Exit(UsageError.exit_code) from None
