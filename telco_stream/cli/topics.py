"""`telco-stream topics`."""

from typing import Annotated

import typer

from telco_stream.cli import options

group = typer.Typer(name="topics", no_args_is_help=True, help="Create the topics.")


@group.callback()
def _topics() -> None: ...


@group.command()
def init(
    broker: options.Broker = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be created.")] = False,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Create the three topics. Reports existing topics and leaves them unchanged."""
    from telco_stream.cli.session import Session
    from telco_stream.kafka.topics import compacted_topics, compaction_warning, init_topics

    flags = {"bootstrap_servers": broker}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    result = init_topics(session.cluster, session.settings, dry_run=dry_run)
    existing = [topic.name for topic in result.topics if not topic.created]
    for topic in compacted_topics(session.cluster, *existing):
        session.screen.warn(compaction_warning(topic))
    session.screen.show(result)
