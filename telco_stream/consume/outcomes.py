"""One run of `outcomes check`: writes a dead letter for each record of the outcomes topic that is not an outcome.

The transactional ID is that of the group. So a run fences one that is still going on and ends the transaction of a
killed one, and from then on only this run moves the group and writes such letters.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from telco_stream.consume.counters import ConsumePlan, StoppedBy
from telco_stream.consume.delivery import ExactlyOnce
from telco_stream.consume.first_start import resume_after_letters
from telco_stream.consume.loop import ConsumeLoop
from telco_stream.contract.events import EventCodec
from telco_stream.contract.outcomes import outcome_contract
from telco_stream.contract.schema import Contract
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_group, require_read, require_write
from telco_stream.kafka.source import open_source
from telco_stream.kafka.starts import TopicToRead
from telco_stream.kafka.topics import largest_letter
from telco_stream.kafka.transactions import transactions_under
from telco_stream.messages.record import Record
from telco_stream.monitoring import DeadLetterLog
from telco_stream.monitoring.protocols import RunObserver
from telco_stream.runtime import logs
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.gc_tuning import reduced_gc
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits, Outcome, check_outcomes

#: Error message of a run that another one has fenced.
_FENCED = "Another instance has taken over: a second outcomes check has started; when it has ended, run this again"


@dataclass(frozen=True, slots=True)
class OutcomesCheckResult:
    """Records of the outcomes topic that this run has checked, and its dead letters by type.

    `stopped_by` is `end`, or `signal` if records are left.
    """

    checked: int
    valid: int
    dead_lettered: int
    by_error_type: dict[str, int]
    seconds: float
    stopped_by: StoppedBy


@dataclass(slots=True)
class _Counts(RunObserver):
    """Counts of the committed batches."""

    on_read: Callable[[int], None]
    checked: int = 0
    #: Time (`time.perf_counter`) of the start.
    started: float = field(default_factory=time.perf_counter)
    by_error_type: Counter[str] = field(default_factory=Counter)

    def on_committed(self, outcome: Outcome, timings: object) -> None:  # noqa: ARG002 - the protocol's parameters
        """Count a batch."""
        self.checked += outcome.consumed
        self.by_error_type.update(str(rejected.error_type) for rejected in outcome.rejected)
        self.on_read(outcome.consumed)

    def result(self, stopped_by: StoppedBy) -> OutcomesCheckResult:
        """Return the counts."""
        letters, by_type = self.by_error_type.total(), dict(self.by_error_type.most_common())
        seconds = round(time.perf_counter() - self.started, 3)
        return OutcomesCheckResult(self.checked, self.checked - letters, letters, by_type, seconds, stopped_by)


def run_outcomes_check(
    clients: Clients, contract: Contract, *, stop: Stop, on_read: Callable[[int], None] = lambda _records: None
) -> OutcomesCheckResult:
    """Check the outcomes since the last run up to the topic's end; `contract` is that of the predictions.

    `on_read` is called with the number of records of each batch. Raises `DataError` at too many consecutive dead
    letters, and `FencedError` if another run has started.
    """
    clients.on_refused = stop.fail
    counts = _Counts(on_read)
    stopped_by: StoppedBy = "signal"
    with reduced_gc(), suppress(Stopped):  # while a request to the broker was pending
        stopped_by = _check(clients, contract, counts, stop)
    stop.raise_failure()
    result = counts.result(stopped_by)
    logs.log_end(
        "outcomes check",
        stopped_by=result.stopped_by,
        checked=result.checked,
        dead_lettered=result.dead_lettered,
        seconds=result.seconds,
    )
    return result


def _check(clients: Clients, contract: Contract, counts: _Counts, stop: Stop) -> StoppedBy:
    settings, cluster = clients.settings, Cluster(clients, stop)
    topics, consumer, group = settings.topics, settings.consumer, settings.consumer.outcomes_group
    partitions = cluster.partitions(topics.outcomes, topics.deadletter)[topics.outcomes]
    require_read(cluster, topics.outcomes, topics.deadletter)
    require_group(cluster, group)
    require_write(cluster, topics.deadletter)
    topic_id = cluster.topic_ids(topics.outcomes)[topics.outcomes]
    logs.log_start("outcomes check", group=group, outcomes=topics.outcomes, deadletter=topics.deadletter)
    limit = largest_letter(cluster.topic_configs(topics.deadletter), topics)
    transactions = transactions_under(group, clients, stop, has_unique_id=False, fenced=_FENCED, largest_batch=limit)
    transactions.start()  # fences a run that still goes on, before its letters are read
    resume_after_letters(cluster, group, topics.outcomes)
    plan = ConsumePlan(
        mode="batch",
        batch_size=consumer.max_poll_records,
        limits=Limits(letter=limit),
        max_consecutive_dead_letters=consumer.max_consecutive_dead_letters,
        topic_id=topic_id,
        contract=contract,
    )
    codec = EventCodec(outcome_contract(contract))

    def process(records: Sequence[Record], consecutive_before: int) -> Outcome:
        return check_outcomes(
            records,
            codec,
            processed_at=utc_timestamp(),
            limits=plan.limits,
            topic_id=topic_id,
            consecutive_before=consecutive_before,
        )

    topic = TopicToRead(topics.outcomes, cluster.ask_offsets, topic_id, partitions, "earliest")
    # As a static member, it takes the place of a killed run at once.
    member = clients.member(group, group_instance_id=group)
    with closing(open_source(cluster, member, topic, is_batch=True, is_bounded=True)) as source:
        delivery, letters = ExactlyOnce(transactions, source, topics, limit), DeadLetterLog()
        loop = ConsumeLoop(source, delivery, process, plan, stop=stop, observers=[letters, counts])
        result = loop.run()
        letters.finish()
    return result.stopped_by
