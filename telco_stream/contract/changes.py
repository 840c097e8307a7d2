"""Compares two contracts: effects of a change on producers, on the model, and on readers of predictions."""

from collections.abc import Iterator
from dataclasses import dataclass

from telco_stream.contract.column_changes import ADDED, NOT_ACCEPTED, UNSEEN, Change, ColumnChanges, Effect, quote
from telco_stream.contract.schema import Carried, Contract

_SEVERITY: tuple[Effect, ...] = ("breaking", "needs retraining", "compatible")
#: Keys that only appear in texts, reports and training; with what they change.
_WORDING = {
    "name": "it is only a name",
    "entity": "it is only wording",
    "entities": "it is only wording",
    "charge": "reports multiply another number by the probability",
    "$schema": "only editors read it",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Changes since the older contract, the worst first, and the worst effect of them."""

    verdict: Effect
    changes: list[Change]


def compare(old: Contract, new: Contract) -> Comparison:
    """Compare a contract with an older one."""
    unsorted = [*_roles(old, new), *_columns(old, new), *_predictions(old, new), *_others(old, new)]
    changes = sorted(unsorted, key=lambda change: _SEVERITY.index(change.effect))
    return Comparison(changes[0].effect if changes else "compatible", changes)


def _roles(old: Contract, new: Contract) -> Iterator[Change]:
    """Compare key, time and label."""
    training = "labelled files for the older contract are refused"
    words = "predictions and labelled files have other words"
    for path, before, after, reason in (
        ("key.name", old.key.name, new.key.name, NOT_ACCEPTED),
        ("key.kind", old.key.kind, new.key.kind, NOT_ACCEPTED),
        ("time.name", old.time.name, new.time.name, NOT_ACCEPTED),
        ("label.name", old.label.name, new.label.name, training),
        ("label.positive", old.label.positive, new.label.positive, words),
        ("label.negative", old.label.negative, new.label.negative, words),
        ("label.probability", old.label.probability, new.label.probability, "predictions have another field"),
    ):
        if before != after:
            yield Change(path, f"{quote([before])} became {quote([after])}", "breaking", reason)
    if old.label.verb != new.label.verb:
        yield Change("label.verb", "changed", "compatible", "it is only wording")


def _columns(old: Contract, new: Contract) -> Iterator[Change]:
    """Compare features and carried columns by name."""
    before, after = ({column.name: column for column in contract.columns} for contract in (old, new))
    read_before, read_after = ([feature.name for feature in contract.features] for contract in (old, new))
    for name, column in after.items():
        if name not in before:
            yield _added(column, is_read=name in read_after)
            continue
        if (name in read_before) != (name in read_after):
            does = "now reads" if name in read_after else "no longer reads"
            yield Change(name, "moved", "needs retraining", f"the model {does} it")
        is_repeated = name in old.repeated and name in new.repeated
        yield from ColumnChanges(name, before[name], column, is_read=name in read_after, is_repeated=is_repeated)
    for name in read_before:
        if name not in after:
            reason = "the model no longer reads it; records that have it are still accepted"
            yield Change(name, "removed", "needs retraining", reason)
    if [name for name in read_before if name in read_after] != [name for name in read_after if name in read_before]:
        yield Change("features", "in another order", "needs retraining", "the model reads them by position")


def _added(column: Carried, *, is_read: bool) -> Change:
    if not column.optional:
        reason = "records without it become dead letters, unless it is `nullable` and `optional`"
        return Change(column.name, "added", "breaking", reason)
    if is_read:
        return Change(column.name, "added", "needs retraining", UNSEEN)
    return Change(column.name, "added", "compatible", ADDED)


def _predictions(old: Contract, new: Contract) -> Iterator[Change]:
    """Compare the columns that predictions repeat, and the segments of reports."""
    columns = {column.name for column in old.columns}
    for name in old.repeated:
        if name not in new.repeated:
            yield Change(_list_of(old, name), f"removed {quote([name])}", "breaking", "predictions lack the field")
        elif name in old.segments and name not in new.segments:
            yield Change("segments", f"removed {quote([name])}", "breaking", "reports no longer group by it")
    for name in new.repeated:
        if name not in old.repeated and name in columns:
            yield Change(_list_of(new, name), f"added {quote([name])}", "compatible", ADDED)
        elif name in new.segments and name not in old.segments:
            yield Change("segments", f"added {quote([name])}", "compatible", "reports group by it, too")


def _others(old: Contract, new: Contract) -> Iterator[Change]:
    """Compare the keys that affect only texts, reports and CSV files."""
    for name, reason in _WORDING.items():
        attribute = "json_schema" if name == "$schema" else name
        if getattr(old, attribute) != getattr(new, attribute):
            yield Change(name, "changed", "compatible", reason)
    if old.segments != new.segments and set(old.segments) == set(new.segments):
        yield Change("segments", "in another order", "compatible", "reports show them in this order")
    if removed := [text for text in old.missing if text not in new.missing]:
        yield Change("missing", f"removed {quote(removed)}", "breaking", "CSV files with it no longer mean null")
    if added := [text for text in new.missing if text not in old.missing]:
        yield Change("missing", f"added {quote(added)}", "compatible", "only CSV files hold it")


def _list_of(contract: Contract, name: str) -> str:
    return "segments" if name in contract.segments else "carry"
