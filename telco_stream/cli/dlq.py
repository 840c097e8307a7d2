"""`telco-stream dlq`."""

from typing import Annotated, TypeAlias

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import ErrorType, UsageError

group = typer.Typer(name="dlq", no_args_is_help=True, help="List, show and replay dead letters.")


ErrorTypes: TypeAlias = Annotated[
    list[ErrorType] | None,
    typer.Option(
        "--error-type", metavar="TYPE", help=f"Only dead letters of TYPE ({', '.join(ErrorType)}); repeatable."
    ),
]
Customer: TypeAlias = Annotated[str | None, typer.Option(metavar="ID", help="Only dead letters with this key.")]
Partition: TypeAlias = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Only this partition of the dead-letter topic.")
]
SourceTopic: TypeAlias = Annotated[
    str | None,
    typer.Option("--source-topic", metavar="NAME", help="Only dead letters of records of this topic."),
]
Limit: TypeAlias = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N dead letters.")]
MaxRetries: TypeAlias = Annotated[int, typer.Option(min=0, metavar="N", help="Give up dead letters replayed N times.")]


@group.command("list")
def list_(
    broker: options.Broker = None,
    topic: options.Topic = None,
    error_type: ErrorTypes = None,
    since: options.Since = None,
    until: options.Until = None,
    customer: Customer = None,
    partition: Partition = None,
    source_topic: SourceTopic = None,
    limit: Limit = None,
    all_: Annotated[
        bool, typer.Option("--all", help="List all dead letters with their state, not only open ones.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Only count the dead letters, by state, type, code and field.")
    ] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show the rejected values, which can be personal data.")
    ] = False,
    max_retries: MaxRetries = 3,
    model: options.Model = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List open dead letters, oldest first. A letter that was replayed or given up is not open."""
    import time

    from telco_stream.display.progress import RowProgress
    from telco_stream.dlq.letters import LetterFilter
    from telco_stream.dlq.listing import list_letters, summarize
    from telco_stream.dlq.run import StateOptions, run_list
    from telco_stream.runtime.period import parse_period

    if show_values and summary:
        raise UsageError("--show-values has no effect with --summary, which only counts; use one of them")
    period = parse_period(since, until, time.time())
    flags = {"bootstrap_servers": broker, "topics.raw": topic, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    key_name = session.contract().key.name if customer else ""
    error_types = frozenset(error_type or ())
    letter_filter = LetterFilter(
        error_types, period.since, period.until, customer, partition, limit, key_name, source_topic
    )
    with session.screen.live(RowProgress("dlq list")) as bar:
        state_options, only_open = StateOptions(max_retries, on_read=bar.advance), not (all_ or summary)
        letters, states = run_list(
            session.clients, letter_filter, state_options, only_open=only_open, stop=session.stop
        )
    if states.unknown_because:
        session.screen.warn(f"The states of the letters are unknown: {states.unknown_because}")
    if summary:
        session.screen.show(summarize(letters, states))
    else:
        session.screen.show(list_letters(letters, states, all_states=all_, show_values=show_values))
    if letters.unreadable and not summary:
        session.screen.warn(f"{letters.unreadable:,} records of the topic are not dead letters and were not listed")


@group.command()
def show(
    position: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="Position of the dead letter.")],
    broker: options.Broker = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show a dead letter with its headers, its error and the original."""
    from telco_stream.dlq.letters import parse_letter_position
    from telco_stream.dlq.run import run_show

    session = Session(output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker}, timeout=timeout)
    session.screen.show(run_show(session.clients, parse_letter_position(position), stop=session.stop))


@group.command()
def replay(
    broker: options.Broker = None,
    topic: options.Topic = None,
    error_type: ErrorTypes = None,
    since: options.Since = None,
    until: options.Until = None,
    customer: Customer = None,
    partition: Partition = None,
    source_topic: SourceTopic = None,
    limit: Limit = None,
    execute: Annotated[
        bool, typer.Option("--execute/--dry-run", help="Send, or only show what would be sent.")
    ] = False,
    only_fixed: Annotated[
        bool, typer.Option("--only-fixed", help="Score first, and send only what now succeeds.")
    ] = False,
    max_retries: MaxRetries = 3,
    model: options.Model = None,
    engine: options.Engine = "auto",
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Send dead letters back to their topics, each at most once."""
    import time

    from telco_stream.dlq.letters import LetterFilter
    from telco_stream.dlq.replay import ANOTHER_TOPIC
    from telco_stream.dlq.run import run_replay
    from telco_stream.runtime.humanize import count_of
    from telco_stream.runtime.period import parse_period

    period = parse_period(since, until, time.time())
    flags = {"bootstrap_servers": broker, "topics.raw": topic, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    if engine != "auto" and not only_fixed:
        raise UsageError("--engine requires --only-fixed: without it, dead letters are sent unscored")
    if model and not (only_fixed or customer):
        raise UsageError("--model requires --only-fixed or --customer: otherwise dead letters are sent unscored")
    key_name = session.contract().key.name if customer else ""
    error_types = frozenset(error_type or ())
    letter_filter = LetterFilter(
        error_types, period.since, period.until, customer, partition, limit, key_name, source_topic
    )
    scorer = session.scorer(engine) if only_fixed else None
    clients, stop = session.clients, session.stop
    result = run_replay(clients, letter_filter, max_retries=max_retries, execute=execute, scorer=scorer, stop=stop)
    session.screen.show(result)
    if skipped := result.skipped.get(ANOTHER_TOPIC):
        session.screen.warn(
            f"{count_of(skipped, 'letter')} skipped: their records came from another topic; --source-topic NAME sends"
            f" those of NAME to {session.settings.topics.raw}"
        )
    if not execute:
        advice = "To send, add --execute." if result.would_replay else "--execute would send nothing either."
        session.screen.say(f"Nothing was sent. {advice}")
