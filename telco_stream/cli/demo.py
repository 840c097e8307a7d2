"""`telco-stream demo`."""

from telco_stream.cli import options

_NEXT = (
    "What to try next, on your own Kafka (--broker HOST:PORT):",
    "  telco-stream topics init                   create the three topics",
    "  telco-stream produce --mode streaming      send ten customers per second",
    "  telco-stream consume                       score them exactly once, until Ctrl-C",
)


def demo(
    engine: options.Engine = "auto",
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Run the whole pipeline on a broker inside this process. Needs no Docker, network or configuration."""
    from telco_stream.cli.session import Session

    session = Session(output, quiet=quiet, verbose=verbose, errors_only=True)
    stop = session.stop  # handle signals while the model is loaded
    screen, scorer = session.screen, session.scorer(engine)

    from telco_stream.demo import run_demo
    from telco_stream.display.windows import WindowReporter

    screen.show(run_demo(scorer, stop=stop, observer=WindowReporter(screen.window), say=screen.say))
    for line in _NEXT:
        screen.say(line)
