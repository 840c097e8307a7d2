"""Hints for unknown options: the equivalents of options of Kafka's tools and of kcat."""

from collections.abc import Collection, Iterator

#: For each option of other tools, our options that do the same; the error names the first that the command has.
SAME = {
    **dict.fromkeys(("--bootstrap-server", "--bootstrap-servers", "--brokers", "--broker-list", "-b"), ("--broker",)),
    **dict.fromkeys(("--group-id", "--consumer-group", "-G"), ("--group",)),
    **dict.fromkeys(("--topics", "-t"), ("--topic",)),
    **dict.fromkeys(("--max-messages", "--num-records", "--messages", "-c"), ("--limit", "--rows", "--records")),
    "--timeout-ms": ("--idle-timeout", "--timeout"),
    "--throughput": ("--events-per-sec",),
    **dict.fromkeys(("--format", "--json", "-J"), ("--output json",)),
    **dict.fromkeys(("--threads", "--num-threads"), ("--workers",)),
}
_PROPERTIES = {"--broker": "set client properties as TELCO_STREAM_KAFKA__NAME, with __ for each dot"}
#: For options whose effect is not that of one of our options: what to do in a command that has the option in front.
OTHERWISE = {
    "--from-beginning": {
        "--window-size": "a new --group starts at the oldest record",
        "--since": "without --since, everything is read",
        "--records": "--records 0 searches the whole topic",
        "--broker": "the whole topic is read",
    },
    "--partition": {"--window-size": "Kafka assigns the partitions to the members of --group"},
    "--isolation-level": {"--broker": "only committed records are read"},
    **dict.fromkeys(("--consumer-property", "--producer-property", "--property", "--command-property"), _PROPERTIES),
    **dict.fromkeys(("--consumer.config", "--producer.config", "--command-config", "-X"), _PROPERTIES),
    "--partitions": {
        "--dry-run": "set TELCO_STREAM_TOPICS__RAW_PARTITIONS, __PREDICTIONS_PARTITIONS and __DEADLETTER_PARTITIONS"
    },
    "--replication-factor": {"--dry-run": "set TELCO_STREAM_TOPICS__REPLICATION_FACTOR"},
}


def advise(option: str, known: Collection[str]) -> str | None:
    """Return what to use for an option of another tool, in a command with the `known` options; None if unknown."""
    return next(_advice(option, known), None)


def _advice(option: str, known: Collection[str]) -> Iterator[str]:
    yield from (f"use {ours}" for ours in SAME.get(option, ()) if ours.split()[0] in known)
    yield from (text for ours, text in OTHERWISE.get(option, {}).items() if ours in known)
