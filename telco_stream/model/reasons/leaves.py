"""Exact reasons of trees: what each leaf contributes, by which of its conditions an event meets.

The condition of a leaf on one feature combines all tests of that feature on the way to the leaf. Which conditions an
event meets is its *pattern*, a number with a bit for each condition. A leaf adds its value to a logit only if all are
met, so that the Shapley values for a pattern follow from the number of rows of the baseline with each pattern, and no
row has to be stored. This is the interventional form: features of the event replace those of the rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from math import factorial, inf
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import Table, input_table
from telco_stream.model.reasons.baselines import Rows
from telco_stream.model.reasons.explainer import Contributions, Explainer
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Split, Tree, UnreadableModelError
from telco_stream.runtime.choices import BASELINES, Baseline

Floats: TypeAlias = NDArray[np.float64]
Positions: TypeAlias = NDArray[np.intp]
#: Most conditions of a leaf, and most numbers in the tables of all leaves.
_MAX_CONDITIONS, _MAX_NUMBERS = 10, 32_000_000
#: Rows whose conditions are computed at a time.
_BLOCK = 64
_BELONGS, _DIFFERS = 1, 2


@dataclass(frozen=True, slots=True)
class _Condition:
    """Condition on one feature: in the range (low, high] and in `among`, if given, and not in `without`.

    NaN meets it if `missing` is set.
    """

    feature: int
    low: float = -inf
    high: float = inf
    missing: bool = True
    among: frozenset[float] | None = None
    without: frozenset[float] = frozenset()

    def after(self, split: Split, *, passed: bool) -> "_Condition":
        """Return the condition with the result of one more split of the same feature."""
        low, high, among, without = self.low, self.high, self.among, self.without
        if not isinstance(split.test, frozenset):
            low, high = (low, min(high, split.test)) if passed else (max(low, split.test), high)
        elif passed:
            among = split.test if among is None else among & split.test
        else:
            without |= split.test
        if among is not None:
            among, without = among - without, frozenset()
        return _Condition(self.feature, low, high, self.missing and split.missing == passed, among, without)

    @property
    def members(self) -> list[float]:
        """The values that the condition lists, to be met or avoided."""
        return sorted(self.without if self.among is None else self.among)

    @property
    def membership(self) -> int:
        """Whether the members are to be met or avoided; 0 if it lists none."""
        return _BELONGS if self.among is not None else _DIFFERS if self.without else 0


@dataclass(frozen=True, slots=True)
class Leaves:
    """Leaves of an ensemble with their conditions, and how many rows of each baseline have each pattern.

    A leaf's conditions are `uses[first[leaf]:first[leaf + 1]]`, positions in the arrays of the different conditions;
    condition k has the bit k of its pattern. The counts of a leaf follow those of the leaf before it.
    """

    feature: NDArray[np.int32]
    low: Floats
    high: Floats
    missing: NDArray[np.bool_]
    membership: NDArray[np.int8]
    member: Floats
    member_first: NDArray[np.int32]
    uses: NDArray[np.int32]
    first: NDArray[np.int32]
    value: Floats
    base: Floats
    counts: NDArray[np.int32]

    def met(self, table: Table) -> NDArray[np.bool_]:
        """Return which of the different conditions each row meets [rows, conditions]."""
        values = table[:, self.feature]
        met = ((values > self.low) & (values <= self.high)) | (np.isnan(values) & self.missing)
        for condition in np.flatnonzero(self.membership):
            members = self.member[self.member_first[condition] : self.member_first[condition + 1]]
            listed = np.isin(values[:, condition], members)
            is_number = ~np.isnan(values[:, condition])
            met[:, condition] &= ~is_number | (listed == (self.membership[condition] == _BELONGS))
        return met

    def patterns(self, table: Table) -> NDArray[np.int32]:
        """Return the pattern of each row for each leaf [rows, leaves]; every leaf must have a condition."""
        widths = np.diff(self.first)
        bits = np.left_shift(1, np.arange(len(self.uses)) - np.repeat(self.first[:-1], widths))
        patterns: NDArray[np.int32] = np.add.reduceat(self.met(table)[:, self.uses] * bits, self.first[:-1], axis=1)
        return patterns


def read_leaves(ensemble: Ensemble, rows: Rows) -> Leaves:
    """Return the leaves of an ensemble, with the counts of the training data.

    Raise UnreadableModelError if its sum is not a logit, or if it would take too much memory.
    """
    if ensemble.link != "logistic":
        raise UnreadableModelError("its trees add up to a probability, not to a logit")
    found = [entry for tree in ensemble.trees for entry in _leaves(tree)]
    constant = sum(value for value, conditions in found if not conditions)
    found = [entry for entry in found if entry[1]]
    widest = max((len(conditions) for _, conditions in found), default=0)
    if widest > _MAX_CONDITIONS:
        raise UnreadableModelError(f"a leaf depends on {widest} features, more than {_MAX_CONDITIONS}")
    if (numbers := sum(len(conditions) << len(conditions) for _, conditions in found)) > _MAX_NUMBERS:
        raise UnreadableModelError(f"its leaves would take {numbers * 8 / 1e6:,.0f} MB")
    different = list(dict.fromkeys(condition for _, conditions in found for condition in conditions))
    positions = {condition: position for position, condition in enumerate(different)}
    members = [condition.members for condition in different]
    widths = [len(conditions) for _, conditions in found]
    leaves = Leaves(
        feature=np.array([condition.feature for condition in different], np.int32),
        low=np.array([condition.low for condition in different]),
        high=np.array([condition.high for condition in different]),
        missing=np.array([condition.missing for condition in different], bool),
        membership=np.array([condition.membership for condition in different], np.int8),
        member=np.array([value for values in members for value in values], np.float64),
        member_first=np.cumsum([0, *map(len, members)], dtype=np.int32),
        uses=np.array([positions[condition] for _, conditions in found for condition in conditions], np.int32),
        first=np.cumsum([0, *widths], dtype=np.int32),
        value=np.array([value for value, _ in found]),
        base=np.full(len(BASELINES), ensemble.base + constant),
        counts=np.zeros((len(BASELINES), sum(1 << width for width in widths)), np.int32),
    )
    return _count(leaves, rows) if found else leaves


def write_leaves(leaves: Leaves) -> bytes:
    """Return the content of `reasons.npz`."""
    buffer = BytesIO()
    np.savez_compressed(buffer, **{name: getattr(leaves, name) for name in Leaves.__slots__})
    return buffer.getvalue()


def load_leaves(content: bytes, codec: Codec, baseline: Baseline) -> Explainer:
    """Return the contributions of the trees; raise ModelError if the file cannot be read."""
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            leaves = Leaves(**{name: arrays[name] for name in Leaves.__slots__})
        position = BASELINES.index(baseline)
        tables = _Tables(leaves, position, len(codec.contract.features))
        base = float(leaves.base[position])
    except (ValueError, KeyError, IndexError, OSError, EOFError) as error:
        raise ModelError(f"The reasons of the trees can't be loaded ({type(error).__name__})") from error
    return Explainer(codec, base, lambda events: tables.contributions(input_table(codec.events, events)))


def _leaves(tree: Tree) -> Iterator[tuple[float, tuple[_Condition, ...]]]:
    """Yield the value of each leaf, and its conditions, one for each feature that the way to it tests."""
    pending: list[tuple[int, dict[int, _Condition]]] = [(0, {})]
    while pending:
        position, conditions = pending.pop()
        node = tree[position]
        if isinstance(node, Leaf):
            yield node.value, tuple(conditions.values())
            continue
        before = conditions.get(node.feature, _Condition(node.feature))
        for child, passed in ((node.failed, False), (node.passed, True)):
            pending.append((child, conditions | {node.feature: before.after(node, passed=passed)}))


def _count(leaves: Leaves, rows: Rows) -> Leaves:
    """Return the leaves with the patterns of the rows counted, and the mean logits that follow."""
    starts = _pattern_starts(leaves)
    full = starts[1:] - 1
    for baseline, table in enumerate(rows.by_baseline()):
        for begin in range(0, len(table), _BLOCK):
            found = leaves.patterns(table[begin : begin + _BLOCK]) + starts[:-1]
            leaves.counts[baseline] += np.bincount(found.ravel(), minlength=starts[-1]).astype(np.int32)
        leaves.base[baseline] += float(leaves.value @ leaves.counts[baseline, full]) / len(table)
    return leaves


def _pattern_starts(leaves: Leaves) -> Positions:
    """Return the position of each leaf's first count, and the number of all counts."""
    return np.concatenate([[0], np.cumsum(np.left_shift(1, np.diff(leaves.first)))]).astype(np.intp)


class _Tables:
    """Contributions of each leaf for each pattern."""

    def __init__(self, leaves: Leaves, baseline: int, features: int) -> None:
        self._leaves = leaves
        self._features = features
        if not len(leaves.value):
            return
        widths, starts = np.diff(leaves.first), _pattern_starts(leaves)
        counts = leaves.counts[baseline]
        shares = counts / counts[starts[0] : starts[1]].sum()
        tables = [np.empty(0)] * len(widths)
        for width in np.unique(widths):
            weights = _weights(int(width))
            for leaf in np.flatnonzero(widths == width):
                parts = shares[starts[leaf] : starts[leaf + 1]]
                tables[leaf] = leaves.value[leaf] * np.einsum("b,pbi->pi", parts, weights)
        #: Contributions of all leaves, pattern by pattern; those of a leaf begin at `_offsets`.
        self._numbers = np.concatenate([table.ravel() for table in tables])
        self._offsets = np.cumsum([0, *(table.size for table in tables)])[:-1]
        self._widths = widths
        owners = np.repeat(np.arange(len(widths)), widths)
        features_used = leaves.feature[leaves.uses]
        #: Conditions of all leaves in the order of their features, and where each feature begins.
        self._order = np.argsort(features_used, kind="stable")
        self._used, self._begins = np.unique(features_used[self._order], return_index=True)
        self._owners = owners[self._order]
        self._bits = (np.arange(len(owners)) - np.repeat(leaves.first[:-1], widths))[self._order]

    def contributions(self, table: Table) -> Contributions:
        """Return the contributions [rows, features] for features in the order of the inputs."""
        results = np.zeros((len(table), self._features))
        if len(self._leaves.value):
            for begin in range(0, len(table), _BLOCK):
                patterns = self._leaves.patterns(table[begin : begin + _BLOCK])
                cells = (self._offsets + patterns * self._widths)[:, self._owners] + self._bits
                sums = np.add.reduceat(self._numbers[cells], self._begins, axis=1)
                results[begin : begin + _BLOCK, self._used] = sums
        return results


def _weights(width: int) -> Floats:
    """Return the Shapley values of a leaf of value 1 [event's pattern, row's pattern, condition].

    The leaf is reached by a mix of event and row only if one of them meets each condition. Then the conditions that
    only the event meets share what it adds, and those that only the row meets share what it takes away.
    """
    patterns = np.arange(1 << width)
    bits = (patterns[:, None] >> np.arange(width) & 1).astype(bool)
    adding = bits[:, None] & ~bits[None, :]
    taken = ~bits[:, None] & bits[None, :]
    is_reached = (bits[:, None] | bits[None, :]).all(axis=2, keepdims=True)
    added, lost = (part.sum(axis=2, keepdims=True) for part in (adding, taken))
    factorials = np.array([factorial(number) for number in range(width + 1)], np.float64)
    total = factorials[added + lost]
    gains = factorials[np.maximum(added - 1, 0)] * factorials[lost] / total
    losses = factorials[added] * factorials[np.maximum(lost - 1, 0)] / total
    weights: Floats = np.where(is_reached, np.where(adding, gains, np.where(taken, -losses, 0.0)), 0.0)
    return weights
