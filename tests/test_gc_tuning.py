import gc
import weakref

from telco_stream.runtime.gc_tuning import reduced_gc


class Cycle:
    """An object that refers to itself, which only the garbage collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_reduced_gc_collects_nothing_when_a_batch_is_created() -> None:
    """A batch of 5,000 records has about 25,000 objects."""
    with reduced_gc():
        collected = [generation["collections"] for generation in gc.get_stats()]
        batch = [[number] for number in range(25_000)]
        assert [generation["collections"] for generation in gc.get_stats()] == collected
    assert len(batch) == 25_000


def test_reduced_gc_freezes_existing_objects() -> None:
    with reduced_gc():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_reduced_gc_still_frees_cycles() -> None:
    with reduced_gc():
        cycle = weakref.ref(Cycle())
        objects = [[number] for number in range(600_000)]
        assert cycle() is None
    assert len(objects) == 600_000


def test_reduced_gc_restores_the_threshold_when_it_ends() -> None:
    before = gc.get_threshold()
    with reduced_gc():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
