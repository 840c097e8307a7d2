"""`telco-stream verify`."""

from typing import TYPE_CHECKING

from telco_stream.cli import options
from telco_stream.errors import DataError

if TYPE_CHECKING:
    from telco_stream.verify.run import VerifyResult


def verify(
    broker: options.Broker = None,
    group: options.Group = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check that every input was answered exactly once. Covers all committed offsets; exits 5 on any error."""
    import time

    from telco_stream.cli.session import Session
    from telco_stream.kafka.topics import compaction_warning
    from telco_stream.verify.run import verify as audit

    flags = {"bootstrap_servers": broker, "consumer.group_id": group}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    with session.screen.progress("verify") as bar:
        result = audit(
            session.clients,
            session.settings.consumer.group_id,
            now=time.time(),
            stop=session.stop,
            on_read=bar.advance,
        )
    for topic in result.compacted_topics:
        session.screen.warn(compaction_warning(topic))
    session.screen.show(result)
    if not result.is_clean:
        raise DataError(
            f"The ledger has gaps: {result.missing} missing, {result.duplicated} duplicated, {result.unexplained}"
            f" unexplained, {result.expired_unanswered} expired unanswered{_explanation(result)};"
            " docs/delivery.md explains the causes"
        )


def _explanation(result: "VerifyResult") -> str:
    """Return the known causes in parentheses, or nothing."""
    causes = []
    if result.answers_to_earlier_topic:
        causes.append(f"{result.answers_to_earlier_topic} answers belong to an earlier raw topic of the same name")
    causes += [f"topic {topic} is compacted, which deletes records" for topic in result.compacted_topics]
    return f" ({'; '.join(causes)})" if causes else ""
