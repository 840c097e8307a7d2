"""Which partitions stand still: told by offsets and times alone."""

from hypothesis import given
from hypothesis import strategies as st

from telco_stream.monitoring.health import PartitionProgress, update_progress


def test_a_partition_is_well_when_it_is_first_seen() -> None:
    assert seen({0: None}, {0: 10}, at=5.0) == {0: PartitionProgress(None, 10, 5.0)}


def test_a_partition_with_lag_that_does_not_move_is_well_no_longer() -> None:
    before = {0: PartitionProgress(4, 10, 1.0)}
    assert seen({0: 4}, {0: 10}, before, at=9.0) == {0: PartitionProgress(4, 10, 1.0)}
    assert seen({0: 4}, {0: 12}, before, at=9.0) == {0: PartitionProgress(4, 12, 1.0)}, "a growing lag is no movement"


def test_a_partition_that_moves_is_well_however_far_behind() -> None:
    assert seen({0: 5}, {0: 1_000_000}, {0: PartitionProgress(4, 10, 1.0)}, at=9.0) == {
        0: PartitionProgress(5, 1_000_000, 9.0)
    }


def test_a_partition_that_has_nothing_more_is_well() -> None:
    assert seen({0: 10}, {0: 10}, {0: PartitionProgress(10, 10, 1.0)}, at=9.0)[0].last_progress_at == 9.0


def test_a_partition_whose_end_nobody_tells_is_not_well_unless_it_moves() -> None:
    assert seen({0: 4}, {}, {0: PartitionProgress(4, 4, 1.0)}, at=9.0) == {0: PartitionProgress(4, None, 1.0)}
    assert seen({0: 5}, {}, {0: PartitionProgress(4, 4, 1.0)}, at=9.0) == {0: PartitionProgress(5, None, 9.0)}


def test_a_partition_of_which_nothing_has_come_yet_is_not_well() -> None:
    assert seen({0: None}, {0: 0}, {0: PartitionProgress(None, 0, 1.0)}, at=9.0)[0].last_progress_at == 1.0


def test_going_back_to_what_is_committed_is_no_movement() -> None:
    """A batch that can't be committed is read again and again; each time the consumer forgets where it stood."""
    assert seen({0: None}, {0: 10}, {0: PartitionProgress(4, 10, 1.0)}, at=9.0) == {0: PartitionProgress(4, 10, 1.0)}


def test_partitions_that_are_given_away_are_forgotten() -> None:
    assert update_progress({0: PartitionProgress(4, 10, 1.0)}, assigned=[], answered={}, ends={0: 10}, now=9.0) == {}


def test_lag_is_never_negative_and_unknown_where_an_offset_is() -> None:
    """The end is asked for now and then: what is answered may be ahead of it."""
    assert PartitionProgress(12, 10, 0.0).lag == 0
    assert PartitionProgress(4, 10, 0.0).lag == 6
    assert PartitionProgress(None, 10, 0.0).lag is None
    assert PartitionProgress(4, None, 0.0).lag is None


offsets = st.one_of(st.none(), st.integers(0, 5))


@given(st.lists(st.tuples(offsets, offsets), min_size=1))
def test_only_movement_or_nothing_to_do_renew_the_time(history: list[tuple[int | None, int | None]]) -> None:
    progress: dict[int, PartitionProgress] = {}
    last_progress_at, stood = 0.0, None
    for at, (answered, end) in enumerate(history):
        progress = seen({0: answered}, {} if end is None else {0: end}, progress, at=float(at))
        now = stood if answered is None else answered
        if at == 0 or now != stood or (now is not None and end is not None and now >= end):
            last_progress_at = float(at)
        stood = now
        assert progress[0].last_progress_at == last_progress_at


def seen(
    answered: dict[int, int | None],
    ends: dict[int, int],
    before: dict[int, PartitionProgress] | None = None,
    *,
    at: float,
) -> dict[int, PartitionProgress]:
    known = {one: offset for one, offset in answered.items() if offset is not None}
    return update_progress(before or {}, assigned=answered.keys(), answered=known, ends=ends, now=at)
