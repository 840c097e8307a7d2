"""Who looks on while a run works: the caller and, where asked for, metrics, health and the watchman."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from telco_stream.contracts.scoring import Scorer
from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.logs import DeadLetterLog
from telco_stream.observing.eyes import NOBODY, Eyes, Onlooker, RowEyes, RowWatch, Watches, Watching
from telco_stream.stop import Stop

__all__ = ["NOBODY", "Eyes", "Onlooker", "RowEyes", "RowWatch", "Watches", "Watching", "looking_on", "looking_on_rows"]


@contextmanager
def looking_on(asked: Watching, clients: Clients, scorer: Scorer, *, stop: Stop, watch: Onlooker) -> Iterator[Eyes]:
    """Eyes on one run of `consume`; afterwards `KafkaError` is raised where a stall was to end the run, and did."""
    letters = DeadLetterLog()
    eyes = Eyes(clients, scorer, stop, Watches(letters, last=watch))
    with ExitStack() as stack:
        stack.callback(letters.finish)
        if asked.port or asked.exit_on_stall:
            from telco_stream.observing.showing import wide_eyes  # noqa: PLC0415 - as dear as a client, and few runs have a port

            eyes = stack.enter_context(wide_eyes(asked, clients, scorer, stop=stop, watch=eyes.watch))
        yield eyes
    if eyes.stall:
        raise KafkaError(f"{eyes.stall}; ended to be started anew (--exit-on-stall)")


@contextmanager
def looking_on_rows(asked: Watching, clients: Clients, target: float, watch: RowWatch) -> Iterator[RowEyes]:
    """Eyes on one run of `produce`; `target` is the rate asked for, 0 for as fast as possible."""
    if not asked.port:
        yield RowEyes(watch)
        return
    from telco_stream.observing.showing import wide_row_eyes  # noqa: PLC0415 - as above

    with wide_row_eyes(asked, clients, target, watch) as eyes:
        yield eyes
