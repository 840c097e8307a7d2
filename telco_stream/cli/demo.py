"""`telco-stream demo`."""

import typer

from telco_stream.cli import options

_NEXT = (
    "What to try next, against a Kafka of yours (--broker HOST:PORT):",
    "  telco-stream topics init                   the three topics",
    "  telco-stream produce --mode streaming      customers, ten a second",
    "  telco-stream consume                       their scores, exactly once, until Ctrl-C",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    engine: options.Engine = "auto",
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Run the whole pipeline on a broker inside this process. No Docker, no network, no configuration."""
    from telco_stream.cli.session import Session

    session = Session(output, quiet=quiet, verbose=verbose, calm=True)
    stop = session.stop  # from here on a signal is heard: to load the model takes a while
    screen, scorer = session.screen, session.scorer(engine)

    from telco_stream.demo import run_demo
    from telco_stream.display.windows import WindowReporter

    screen.show(run_demo(scorer, stop=stop, observer=WindowReporter(screen.window), say=screen.say))
    for line in _NEXT:
        screen.say(line)
