import gc
import weakref

from telco_stream.runtime.gc_tuning import reduced_gc


class Knot:
    """Holds itself, so that only the collector can end it."""

    def __init__(self) -> None:
        self.itself = self


def test_the_objects_of_a_batch_do_not_wake_the_collector() -> None:
    """Five thousand records make some 25,000."""
    with reduced_gc():
        collected = [one["collections"] for one in gc.get_stats()]
        batch = [[number] for number in range(25_000)]
        assert [one["collections"] for one in gc.get_stats()] == collected
    assert len(batch) == 25_000


def test_what_stood_before_is_not_looked_through() -> None:
    with reduced_gc():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_cycles_still_go_in_the_end() -> None:
    with reduced_gc():
        gone = weakref.ref(Knot())
        heap = [[number] for number in range(600_000)]
        assert gone() is None
    assert len(heap) == 600_000


def test_afterwards_the_collector_works_as_usual() -> None:
    usual = gc.get_threshold()
    with reduced_gc():
        assert gc.get_threshold() != usual
    assert gc.get_threshold() == usual
