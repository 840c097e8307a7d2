"""Progress of partitions, computed from offsets and times."""

from hypothesis import given
from hypothesis import strategies as st

from telco_stream.monitoring.health import PartitionProgress, update_progress


def test_partition_is_healthy_when_it_is_new() -> None:
    assert updated({0: None}, {0: 10}, at=5.0) == {0: PartitionProgress(None, 10, 5.0)}


def test_partition_is_not_healthy_when_its_lag_stays() -> None:
    before = {0: PartitionProgress(4, 10, 1.0)}
    assert updated({0: 4}, {0: 10}, before, at=9.0) == {0: PartitionProgress(4, 10, 1.0)}
    assert updated({0: 4}, {0: 12}, before, at=9.0) == {0: PartitionProgress(4, 12, 1.0)}, (
        "a growing lag is not progress"
    )


def test_partition_is_healthy_when_it_advances() -> None:
    assert updated({0: 5}, {0: 1_000_000}, {0: PartitionProgress(4, 10, 1.0)}, at=9.0) == {
        0: PartitionProgress(5, 1_000_000, 9.0)
    }


def test_partition_is_healthy_when_it_has_no_lag() -> None:
    assert updated({0: 10}, {0: 10}, {0: PartitionProgress(10, 10, 1.0)}, at=9.0)[0].last_progress_at == 9.0


def test_partition_is_not_healthy_when_its_end_is_unknown() -> None:
    assert updated({0: 4}, {}, {0: PartitionProgress(4, 4, 1.0)}, at=9.0) == {0: PartitionProgress(4, None, 1.0)}
    assert updated({0: 5}, {}, {0: PartitionProgress(4, 4, 1.0)}, at=9.0) == {0: PartitionProgress(5, None, 9.0)}


def test_partition_is_not_healthy_when_nothing_is_fetched() -> None:
    assert updated({0: None}, {0: 0}, {0: PartitionProgress(None, 0, 1.0)}, at=9.0)[0].last_progress_at == 1.0


def test_partition_is_not_healthy_when_it_is_rewound() -> None:
    """A batch that can't be committed is read again and again; each rewind forgets the answered offset."""
    assert updated({0: None}, {0: 10}, {0: PartitionProgress(4, 10, 1.0)}, at=9.0) == {0: PartitionProgress(4, 10, 1.0)}


def test_update_progress_forgets_revoked_partitions() -> None:
    assert update_progress({0: PartitionProgress(4, 10, 1.0)}, assigned=[], answered={}, ends={0: 10}, now=9.0) == {}


def test_lag_is_at_least_0_and_none_when_unknown() -> None:
    """The end is queried every few seconds, so that the answered offset may be ahead of it."""
    assert PartitionProgress(12, 10, 0.0).lag == 0
    assert PartitionProgress(4, 10, 0.0).lag == 6
    assert PartitionProgress(None, 10, 0.0).lag is None
    assert PartitionProgress(4, None, 0.0).lag is None


offsets = st.one_of(st.none(), st.integers(0, 5))


@given(st.lists(st.tuples(offsets, offsets), min_size=1))
def test_progress_time_advances_only_when_healthy(history: list[tuple[int | None, int | None]]) -> None:
    progress: dict[int, PartitionProgress] = {}
    last_progress_at, before = 0.0, None
    for at, (answered, end) in enumerate(history):
        progress = updated({0: answered}, {} if end is None else {0: end}, progress, at=float(at))
        current = before if answered is None else answered
        if at == 0 or current != before or (current is not None and end is not None and current >= end):
            last_progress_at = float(at)
        before = current
        assert progress[0].last_progress_at == last_progress_at


def updated(
    answered: dict[int, int | None],
    ends: dict[int, int],
    before: dict[int, PartitionProgress] | None = None,
    *,
    at: float,
) -> dict[int, PartitionProgress]:
    known = {partition: offset for partition, offset in answered.items() if offset is not None}
    return update_progress(before or {}, assigned=answered.keys(), answered=known, ends=ends, now=at)
