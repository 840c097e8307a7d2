"""`telco-stream status` and `telco-stream doctor`."""

from contextlib import suppress
from functools import partial
from typing import Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import DataError, TelcoStreamError
from telco_stream.runtime.signals import Stopped

#: Seconds between two updates of `status --watch`.
_WATCH_SECONDS = 2.0


def status(
    broker: options.Broker = None,
    topic: options.Topic = None,
    group: options.Group = None,
    max_lag: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Exit 5 if the group's lag exceeds N.")
    ] = None,
    max_age: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Exit 5 if the newest prediction is older than SECONDS."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show the status again every 2 seconds until Ctrl-C or a limit.")
    ] = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="Show the topics even if the group does not exist.")
    ] = False,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show lag, time to catch up, dead letters, newest prediction. With a limit it is a health check."""
    import time

    from telco_stream.checks.results import exceeded
    from telco_stream.checks.status import status as read_status

    flags = {"bootstrap_servers": broker, "topics.raw": topic, "consumer.group_id": group}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    name, stop = session.settings.consumer.group_id, session.stop

    def show() -> None:
        result = read_status(session.clients, name, now=time.time(), stop=stop, is_unknown_allowed=ignore_not_found)
        session.screen.show(result, in_place=watch)
        if violations := exceeded(result, max_lag=max_lag, max_age=max_age):
            raise DataError("; ".join(violations))

    if not watch:
        show()
        return
    with suppress(Stopped):
        show()
        while not stop.wait(_WATCH_SECONDS):
            show()


def doctor(
    broker: options.Broker = None,
    topic: options.Topic = None,
    group: options.Group = None,
    model: options.Model = None,
    engine: options.Engine = "auto",
    command: Annotated[
        list[str] | None,
        typer.Option(
            "--command", metavar="NAME", help="Check only what this command needs, such as consume; repeatable."
        ),
    ] = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check broker, topics, permissions, model, clocks and disk. Exits 3, 4 or 5 for the first check that fails."""
    from telco_stream.checks.doctor import Doctor
    from telco_stream.display.progress import StageProgress

    flags = {"bootstrap_servers": broker, "topics.raw": topic, "consumer.group_id": group, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    checks = Doctor(session.clients, partial(session.scorer, engine), command or [], session.stop)
    with session.screen.live(StageProgress()) as progress:
        result = checks.run(progress)
    session.screen.show(result)
    if not result.ok:
        failed = [check for check in result.checks if check.state == "failed"]
        first = f"{failed[0].check} {failed[0].subject}: {failed[0].message}"
        error = TelcoStreamError(f"{len(failed)} of {len(result.checks)} checks failed, first: {first}")
        error.exit_code = result.exit_code
        raise error
