"""Names and values that commands share with the command line; imports nothing, so that `--help` stays fast."""

from typing import Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["batch", "streaming"]
DeliveryGuarantee: TypeAlias = Literal["exactly-once", "at-least-once"]
Engine: TypeAlias = Literal["auto", "onnx", "sklearn"]
LogFormat: TypeAlias = Literal["text", "json"]
Output: TypeAlias = Literal["table", "json"]
Baseline: TypeAlias = Literal["all", "stayers"]
ReasonsFor: TypeAlias = Literal["all", "flagged"]
#: Names of the baselines of reasons, in the order in which a model folder stores them.
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

#: Prefix of the environment variables of settings.
PREFIX = "TELCO_STREAM_"
#: Options that are not settings although one might set them in the environment, with the values that they accept.
ONLY_FLAGS: dict[str, tuple[str, ...]] = {
    "--mode": get_args(Mode),
    "--delivery": get_args(DeliveryGuarantee),
    "--engine": get_args(Engine),
    "--log-format": get_args(LogFormat),
    "--output": get_args(Output),
    **dict.fromkeys(("--timeout", "--metrics-port", "--workers", "--top-k", "--run-id", "--limit", "--seed"), ()),
    **dict.fromkeys(("--max-messages", "--idle-timeout", "--exit-on-stall", "--quiet", "--verbose", "--no-live"), ()),
}


#: Prefix of a model source that is a topic.
_KAFKA_SOURCE = "kafka:"


def models_topic(source: str | None) -> str | None:
    """Return the topic of a model source, `kafka:TOPIC`, or None for a folder."""
    return source.removeprefix(_KAFKA_SOURCE) if source and source.startswith(_KAFKA_SOURCE) else None


def variable_of(name: str) -> str:
    """Return the environment variable of a setting, given its dotted name."""
    return PREFIX + name.upper().replace(".", "__")
