"""Topics, groups and transactional IDs that each command needs, as docs/security.md lists them."""

from dataclasses import dataclass, replace

from telco_stream.errors import UsageError
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_group, require_read, require_write
from telco_stream.kafka.transactions import transactions_under
from telco_stream.runtime.choices import models_topic
from telco_stream.settings import Settings

#: Group and transactional ID for a check of the prefix that passes have in common.
_PRODUCER = "telco-stream-produce-doctor"


@dataclass(frozen=True, slots=True)
class Needs:
    """Topics that a command reads and writes, groups that it describes or joins, and an unused transactional ID."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    describes: str | None = None
    joins: str | None = None
    transactional_id: str | None = None

    @property
    def topics(self) -> set[str]:
        """Return all topics of the command."""
        return {*self.reads, *self.writes}

    def check(self, cluster: Cluster) -> None:
        """Raise `KafkaError` for the first right that this user lacks."""
        require_read(cluster, *self.reads)
        require_write(cluster, *self.writes)
        if self.describes:
            cluster.describe_group(self.describes)
        if self.joins:
            require_group(cluster, self.joins)
        if self.transactional_id:
            transactions_under(self.transactional_id, cluster.clients, cluster.stop, has_unique_id=False).start()


def needs_of(settings: Settings, names: list[str]) -> dict[str, Needs]:
    """Return what the commands need whose names begin with one of `names`, or all without names.

    Those for models are among all if the model source is a topic; those for outcomes need to be named.
    """
    topics, group = settings.topics, settings.consumer.group_id
    every = (topics.raw, topics.predictions, topics.deadletter)
    # A configured ID belongs to a consumer, which a check would fence.
    consumer_id = None if settings.consumer.transactional_id else f"{group}-doctor"
    source = models_topic(settings.model.path)
    models = () if source is None else (source,)
    commands = {
        "produce --mode streaming": Needs(writes=(topics.raw,)),
        "produce --mode batch": Needs((topics.raw,), (topics.raw,), joins=_PRODUCER, transactional_id=_PRODUCER),
        "consume": Needs((topics.raw, *models), (*every[1:], *models), joins=group, transactional_id=consumer_id),
        "report": Needs((topics.predictions, *models)),
        "predictions show": Needs((topics.predictions, *models)),
        "explain": Needs((topics.predictions, topics.raw, *models)),
        "drift": Needs((topics.raw, *models)),
        "verify": Needs(every, describes=group),
        "status": Needs(every, describes=group),
        "dlq list": Needs((topics.deadletter,)),
        "dlq replay": Needs((topics.deadletter, topics.raw), (topics.raw,)),
    }
    sent, joined = (topics.outcomes,), (topics.predictions, topics.outcomes)
    checked, letters, own = (topics.outcomes, topics.deadletter), (topics.deadletter,), settings.consumer.outcomes_group
    of_outcomes = {
        "outcomes send": Needs(sent, sent, joins=_PRODUCER, transactional_id=_PRODUCER),
        "outcomes check": Needs((*checked, *models), letters, joins=own, transactional_id=f"{own}-doctor"),
        "quality": Needs((*joined, *models)),
        "model recalibrate": Needs(joined),
    }
    written, read = Needs((topics.models,), (topics.models,)), Needs((topics.models,))
    of_models = {f"model {name}": written for name in ("publish", "promote", "rollback")}
    of_models["model promote --wait"] = Needs((topics.models, topics.raw, topics.predictions), written.writes, group)
    of_models |= {"model list": replace(read, describes=group), "model history": read, "model compare": read}
    if not names:
        names = [*commands, *([] if source is None else ["model"])]
    known = commands | of_outcomes | of_models
    if unknown := [name for name in names if not any(command.startswith(name) for command in known)]:
        raise UsageError(f"--command: {unknown[0]!r} is none of {', '.join(known)}")
    if not any(name.startswith("model r") for name in names):
        del known["model recalibrate"]  # `model` alone means the commands of the models topic
    if not any(name.startswith("model promote -") for name in names):
        del known["model promote --wait"]  # it needs more than `model promote`
    return {name: needs for name, needs in known.items() if name.startswith(tuple(names))}
