"""Columns that give the label away, such as those filled in only after it is known."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.contract.schema import Category, Feature, Integer, Number

#: Area under the ROC curve of one column from which on it is reported.
MAX_AUC = 0.95
#: Rows of each label without which nothing is reported.
_MIN_ROWS = 5
#: Rows for each value of a category: with fewer, its values predict the label by chance.
_ROWS_PER_VALUE = 5


def describe_leak(profile: ColumnProfile, feature: Feature, labels: tuple[str, str]) -> str | None:
    """Describe how the column gives the label away, or return None; `labels` are the negative and positive value."""
    if min(profile.rows) < _MIN_ROWS:
        return None
    groups = _groups(profile, feature)
    has_few_values = not profile.is_pruned and len(groups) * _ROWS_PER_VALUE <= profile.total
    if has_few_values and len(groups) > 1 and all(min(rows) == 0 for rows in groups):
        return "each of its values has one label only"
    if nulls := _describe_nulls(profile, labels):
        return nulls
    if isinstance(feature, Number | Integer):
        auc = _auc_of_numbers(*(sample.numbers for sample in profile.samples))
    else:
        auc = _auc_of_groups(groups) if has_few_values else 0.5
    return f"ranks the labels with an AUC of {auc:.3f}" if auc > MAX_AUC else None


def _groups(profile: ColumnProfile, feature: Feature) -> list[tuple[int, int]]:
    """Return the rows of each label for each value, for null, and for the values that count as other."""
    values = feature.values if isinstance(feature, Category) else profile.values
    groups = [(profile.counts[0][value], profile.counts[1][value]) for value in values]
    groups.append(profile.null_rows())
    negative, positive = map(sum, zip(*groups, strict=True))
    groups.append((profile.rows[0] - negative, profile.rows[1] - positive))
    return [rows for rows in groups if any(rows)]


def _describe_nulls(profile: ColumnProfile, labels: tuple[str, str]) -> str | None:
    blank = profile.null_rows()
    filled = tuple(rows - nulls for rows, nulls in zip(profile.rows, blank, strict=True))
    for label, name in enumerate(labels):
        if filled[1 - label] == 0 and filled[label] >= _MIN_ROWS:
            return f"has values for `{name}` only"
        if blank[1 - label] == 0 and blank[label] > MAX_AUC * profile.rows[label]:
            return f"is blank for `{name}` only"
    return None


def _auc_of_groups(groups: Iterable[tuple[int, int]]) -> float:
    """Return the area under the curve of groups in the order of their share of positives."""
    ordered = sorted(groups, key=lambda rows: rows[1] / sum(rows))
    below, area = 0, 0.0
    for negative, positive in ordered:
        area += positive * (below + negative / 2)
        below += negative
    return area / (below * sum(positive for _, positive in ordered))


def _auc_of_numbers(negatives: Sequence[float], positives: Sequence[float]) -> float:
    """Return the area under the curve of the numbers in their order, or in the opposite one if that is larger."""
    if min(len(negatives), len(positives)) < _MIN_ROWS:
        return 0.5
    ordered = sorted(negatives)
    area = sum(bisect_left(ordered, number) + bisect_right(ordered, number) for number in positives) / 2
    auc = area / (len(negatives) * len(positives))
    return max(auc, 1 - auc)
