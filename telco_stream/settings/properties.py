"""librdkafka properties: which clients they are for, and which are reserved or secret."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

ClientKind: TypeAlias = Literal["producer", "consumer", "admin"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Properties that librdkafka 2.16 marks `P`, with aliases and topic properties; a consumer would warn about them.
PRODUCER_ONLY = _names(
    "transactional.id transaction.timeout.ms enable.idempotence enable.gapless.guarantee "
    "queue.buffering.max.messages queue.buffering.max.kbytes queue.buffering.max.ms linger.ms "
    "queue.buffering.backpressure.threshold message.send.max.retries retries compression.codec compression.type "
    "compression.level batch.num.messages batch.size delivery.report.only.error dr_cb dr_msg_cb "
    "sticky.partitioning.linger.ms request.required.acks acks request.timeout.ms message.timeout.ms "
    "delivery.timeout.ms queuing.strategy produce.offset.report partitioner partitioner_cb msg_order_cmp"
)

#: Properties that it marks `C`; a producer would warn about them.
CONSUMER_ONLY = _names(
    "group.id group.instance.id partition.assignment.strategy session.timeout.ms heartbeat.interval.ms "
    "group.protocol.type group.protocol group.remote.assignor coordinator.query.interval.ms max.poll.interval.ms "
    "enable.auto.commit auto.commit.enable auto.commit.interval.ms enable.auto.offset.store queued.min.messages "
    "queued.max.messages.kbytes fetch.wait.max.ms fetch.queue.backoff.ms fetch.message.max.bytes "
    "max.partition.fetch.bytes fetch.max.bytes fetch.min.bytes fetch.error.backoff.ms offset.store.method "
    "offset.store.path offset.store.sync.interval.ms isolation.level consume_cb rebalance_cb offset_commit_cb "
    "enable.partition.eof check.crcs max.poll.records share.acknowledgement.mode auto.offset.reset "
    "consume.callback.max.messages"
)

#: The property of each alias.
ALIASES = {
    "bootstrap.servers": "metadata.broker.list",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "sasl.mechanism": "sasl.mechanisms",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "linger.ms": "queue.buffering.max.ms",
    "retries": "message.send.max.retries",
    "compression.type": "compression.codec",
    "acks": "request.required.acks",
    "delivery.timeout.ms": "message.timeout.ms",
    "auto.commit.enable": "enable.auto.commit",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
}

_DELIVERY = "use --delivery exactly-once or at-least-once"
_COMMITS = f"offsets are committed when a batch is delivered; {_DELIVERY}"
_BROKERS = "use --broker or TELCO_STREAM_BOOTSTRAP_SERVERS"
_RUNS_CODE = "it makes the client load code from another file"
_CONFIRMED = "all in-sync replicas confirm every record"
#: Properties that users cannot set because delivery relies on them or a setting replaces them, and what to use instead.
REFUSED = {
    "enable.auto.commit": _COMMITS,
    "auto.commit.enable": _COMMITS,
    "enable.auto.offset.store": _COMMITS,
    "isolation.level": "only committed records are read",
    "transactional.id": "use TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID",
    "enable.idempotence": f"producers are always idempotent; {_DELIVERY}",
    "acks": _CONFIRMED,
    "request.required.acks": _CONFIRMED,
    "delivery.report.only.error": "every record's delivery is confirmed",
    "partitioner": "keys are partitioned as by Java producers (murmur2_random)",
    "bootstrap.servers": _BROKERS,
    "metadata.broker.list": _BROKERS,
    "group.id": "use --group or TELCO_STREAM_CONSUMER__GROUP_ID",
    "auto.offset.reset": "use TELCO_STREAM_CONSUMER__AUTO_OFFSET_RESET",
    "max.poll.records": "use TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS",
    "plugin.library.paths": _RUNS_CODE,
    "ssl.engine.location": _RUNS_CODE,
    "ssl.engine.id": _RUNS_CODE,
    "ssl.providers": f"{_RUNS_CODE}; set the providers of this machine in openssl.cnf",
    "sasl.kerberos.kinit.cmd": "the client runs it as a shell command",
}
#: Properties whose value is a function or an object.
_OBJECTS = re.compile(
    r".*_cb|on_commit|on_delivery|logger|opaque|interceptors|default[._]topic[._]conf(ig)?|.*_data|msg_order_cmp"
)

#: The form of a property name; librdkafka checks whether the property exists.
_PROPERTY = re.compile(r"\w+(\.\w+)*", re.ASCII)

#: Properties that become part of the name of a group member.
_MEMBER_PROPERTIES = {"client.id", "group.instance.id"}
#: Properties that librdkafka inserts into the `kinit` command, which a shell runs.
_KINIT_PROPERTIES = {"sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.service.name"}

#: Names of secrets, and of paths to secrets.
_SECRET = re.compile(r"pas+w|pwd|passphrase|secret|token|credential|jaas|pem|key(?!tab)|kinit", re.IGNORECASE)
_PATH = re.compile(r"\.(location|file)$", re.IGNORECASE)
#: Authentication properties, and those of them that are not secret. A misspelt name may hold a password.
_AUTHENTICATION = re.compile(r"sasl|ssl|https|oauth", re.IGNORECASE)
_NOT_SECRET = re.compile(
    r"sasl\.mechanisms?|sasl\.username|sasl\.kerberos\.(service\.name|principal|keytab|min\..*)"
    r"|sasl\.oauthbearer\.(method|scope|grant\.type|assertion\.algorithm)|enable\.sasl\.oauthbearer\.unsecure\.jwt"
    r"|enable\.ssl\.certificate\.verification|ssl\.(endpoint\.identification\.algorithm|ca\.certificate\.stores)"
    r"|ssl\.(cipher\.suites|curves\.list|sigalgs\.list)|.*\.(location|file)"
)


def for_client(kind: ClientKind, properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties for a kind of client. Unknown names are for all kinds; librdkafka rejects wrong ones."""
    excluded = {
        "producer": CONSUMER_ONLY,
        "consumer": PRODUCER_ONLY,
        "admin": CONSUMER_ONLY | PRODUCER_ONLY,
    }[kind]
    return {name: value for name, value in properties.items() if name not in excluded}


def canonical_name(name: str) -> str:
    """Return the property behind an alias, or the name itself."""
    return ALIASES.get(name, name)


def refusal_reason(name: str) -> str | None:
    """Return why users cannot set a property and what to use instead, or None if they can."""
    if not _PROPERTY.fullmatch(name):
        return "not the name of a librdkafka property"
    reason = "it takes code, not text" if _OBJECTS.fullmatch(name) else REFUSED.get(name)
    return reason and f"{name} can't be set here: {reason}"


def check_property_text(name: str, text: str) -> str:
    """Return the text if it is safe as the value of the property; raises ValueError otherwise."""
    if name in _KINIT_PROPERTIES and not re.fullmatch(r"[\w./@:+-]*", text, re.ASCII):
        raise ValueError("use only letters, digits and . / @ : + - _ because the client passes the value to a shell")
    return check_member(text) if name in _MEMBER_PROPERTIES else text


def check_member(text: str) -> str:
    """Return the name of a group or member if the client can commit offsets with it; raises ValueError otherwise."""
    if not (text and text.isascii() and text.isprintable()):
        raise ValueError("use printable ASCII characters; the client cannot commit offsets with others")
    return text


def is_secret(name: str) -> bool:
    """Return whether a property's value must be masked; unknown authentication properties are."""
    if _SECRET.search(name):
        return not _PATH.search(name)
    return bool(_AUTHENTICATION.search(name)) and not _NOT_SECRET.fullmatch(name)


def secrets_of(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the secret properties under each name that the client may log."""
    return {
        alias: value for name, value in properties.items() if is_secret(name) for alias in (name, canonical_name(name))
    }
