"""Baseline of a model: counts of the training rows by bins of each feature, and of the score."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import sub
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from telco_stream.contract.events import EventCodec
from telco_stream.contract.schema import Boolean, Category, Feature, Integer
from telco_stream.errors import ModelError
from telco_stream.model.features import Table, category_texts

#: Name of the score among the features.
SCORE = "score"
#: Number of bins between the smallest and the largest number of the training rows, if it never repeats.
_BINS = 10
#: Values of a category up to which comparing with each of them is faster than counting the codes.
_MAX_COMPARED = 16
#: Limits of a file, which bound the memory that a hostile one takes.
_MAX_EDGES = 1_000
_MAX_BINS = 100_000
_MAX_FEATURES = 10_000
_MAX_ROWS = 1_000_000_000_000

Number = TypeVar("Number", np.float64, np.int64)
Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


class Bins(msgspec.Struct, frozen=True):
    """Bins of a feature, and the number of training rows in each of them.

    Bin 0 of a number holds what is below the first edge, bin 1 what is at least that and below the second one, and so
    on; after the last one follows null. The first and the last edge are the ends of the range in training, so that the
    bins beyond them are empty. A category has a bin for each code: its values, `other`, null.
    """

    name: str
    counts: Annotated[list[Annotated[int, Meta(ge=0, le=_MAX_ROWS)]], Meta(max_length=_MAX_BINS)]
    edges: Annotated[list[float], Meta(max_length=_MAX_EDGES)] | None = None


class Baseline(msgspec.Struct, frozen=True):
    """Content of `baseline.json`."""

    rows: Annotated[int, Meta(ge=1, le=_MAX_ROWS)]
    features: Annotated[list[Bins], Meta(max_length=_MAX_FEATURES)]
    score: Bins


_decode = msgspec.json.Decoder(Baseline).decode


def make_baseline(codec: EventCodec, table: Table, scores: Sequence[float] | Floats) -> Baseline:
    """Choose bins of about equal numbers of rows for each number and the score, and count the rows of all bins."""
    features = codec.contract.features
    empty = [_empty_bins(feature, table[:, column]) for column, feature in enumerate(features)]
    score = Bins(SCORE, [], _edges(np.asarray(scores)))
    counter = BinCounter(Baseline(len(table), empty, score), codec)
    counts = [part.tolist() for part in counter.split(counter.count([table], scores))]
    filled = [msgspec.structs.replace(bins, counts=part) for bins, part in zip([*empty, score], counts, strict=True)]
    return Baseline(len(table), filled[:-1], filled[-1])


def encode_baseline(baseline: Baseline) -> bytes:
    """Encode as JSON with a line for each feature."""
    return msgspec.json.encode(baseline).replace(b'{"name"', b'\n{"name"') + b"\n"


def decode_baseline(content: bytes, codec: EventCodec) -> Baseline:
    """Decode the file; raise ModelError if it is invalid, or not about the features of the contract."""
    try:
        baseline: Baseline = _decode(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The baseline of the model can't be read: {error}") from error
    features = codec.contract.features
    expected = [(feature.name, _code_count(codec, feature)) for feature in features]
    actual = [(bins.name, None if bins.edges is not None else len(bins.counts)) for bins in baseline.features]
    is_valid = baseline.score.edges is not None and all(map(_is_valid, [*baseline.features, baseline.score]))
    if actual != expected or not is_valid:
        raise ModelError("The baseline of the model does not follow its contract: create the model again")
    return baseline


def map_score(baseline: Baseline, transform: Callable[[Floats], Floats]) -> Baseline:
    """Return the baseline of a model whose scores are `transform`, which is strictly increasing, of those of this one.

    Bins that can no longer be distinguished become one.
    """
    bins = baseline.score
    if not bins.edges:
        return baseline
    # The last edge is the next number after the largest score, which need not be the next one after it is mapped.
    scores = transform(np.array([*bins.edges[:-1], math.nextafter(bins.edges[-1], -math.inf)])).tolist()
    mapped = [*scores[:-1], math.nextafter(scores[-1], math.inf)]
    edges, counts = mapped[:1], bins.counts[:1]
    for edge, count in zip(mapped[1:], bins.counts[1:], strict=False):
        if edge > edges[-1]:
            edges.append(edge)
            counts.append(count)
        else:
            counts[-1] += count
    return msgspec.structs.replace(baseline, score=Bins(bins.name, [*counts, *bins.counts[-2:]], edges))


class BinCounter:
    """Counts rows by bin: for all features and the score, in one flat array."""

    def __init__(self, baseline: Baseline, codec: EventCodec) -> None:
        every = [*baseline.features, baseline.score]
        features = codec.contract.features
        sizes = [_code_count(codec, feature) or _size(bins) for feature, bins in zip(features, every, strict=False)]
        #: Where the bins of each feature begin, and where those of the score end.
        self.bounds = np.cumsum([0, *sizes, _size(baseline.score)])
        #: Where each bin but the first begins, as a column; None for a category that has too many to compare with each.
        self._starts = [_starts(bins, size) for bins, size in zip(baseline.features, sizes, strict=True)]
        self._score_starts = _number_starts(baseline.score)

    def count(self, tables: Sequence[Table], scores: Sequence[float] | Floats) -> Counts:
        """Return the number of rows by bin of each feature, one feature after the other, and then of the score.

        A score that is not a number is not counted.
        """
        with np.errstate(invalid="ignore"):  # of the columns of numbers, which are not read from here
            codes = np.concatenate([table.astype(np.uint8) for table in tables])
        codes = np.ascontiguousarray(codes.T)  # many times faster than columns of the table
        counts: list[int] = []
        for column, starts in enumerate(self._starts):
            if starts is not None and starts.dtype == np.uint8:
                counts += _count_between(codes[column], starts)
                continue
            values = np.concatenate([table[:, column] for table in tables])
            if starts is None:
                size = self.bounds[column + 1] - self.bounds[column]
                counts += np.bincount(values.astype(np.intp), minlength=size).tolist()
            else:
                counts += _count_between(values, starts)
        counts += _count_between(np.asarray(scores), self._score_starts)
        counts[-1] = 0
        return np.array(counts, np.int64)

    def split(self, counts: NDArray[Number]) -> list[NDArray[Number]]:
        """Return views of the counts or shares of each feature, and of the score."""
        return [counts[start:end] for start, end in pairwise(self.bounds)]


@dataclass(frozen=True, slots=True)
class BinNames:
    """Descriptions of the bins of a feature, and the positions of those for null and for unknown texts."""

    labels: Sequence[str]
    null: int | None = None
    unknown: int | None = None
    #: Whether the bins before null are in ascending order.
    is_ordered: bool = False


def name_bins(codec: EventCodec, bins: Bins) -> BinNames:
    """Name the bins of a feature or of the score."""
    feature = next((feature for feature in codec.contract.features if feature.name == bins.name), None)
    if isinstance(feature, Category):
        texts = category_texts(codec, feature)
        has_unknown = feature.other is not None and feature.other not in feature.values
        return BinNames(
            labels=["null" if text is None else text or '""' for text in texts],
            null=texts.index(None) if None in texts else None,
            unknown=len(feature.values) if has_unknown else None,
        )
    if isinstance(feature, Boolean):
        return BinNames(["false", "true", "null"], null=2)
    fill = getattr(feature, "fill", None)
    labels = [*_name_ranges(bins.edges or [], fill, is_whole=isinstance(feature, Integer)), "null"]
    null = labels.index("null" if fill is None else _name_fill(fill))
    return BinNames(labels, null, is_ordered=True)


def _name_ranges(edges: Sequence[float], fill: float | None, *, is_whole: bool) -> list[str]:
    if not edges:
        return ["any number"]
    inner = [
        _name_fill(low) if low == fill else _name_range(low, high, is_whole=is_whole) for low, high in pairwise(edges)
    ]
    return [f"below {edges[0]:g}", *inner, f"above {edges[-1]:g}"]


def _name_range(low: float, high: float, *, is_whole: bool) -> str:
    if is_whole and math.ceil(high) - low == 1:
        return f"{low:g}"
    return f"{low:g} to {math.ceil(high) - 1 if is_whole else high:g}"


def _name_fill(fill: float) -> str:
    return f"null or {fill:g}"


def _empty_bins(feature: Feature, values: Floats) -> Bins:
    match feature:
        case Category():
            return Bins(feature.name, [])
        case Boolean():
            return Bins(feature.name, [], [0.5])
    edges = set(_edges(values[~np.isnan(values)]))
    if feature.fill is not None:  # a bin of its own, because null counts as this number
        edges |= {float(feature.fill), math.nextafter(feature.fill, math.inf)}
    return Bins(feature.name, [], sorted(edges))


def _edges(values: Floats) -> list[float]:
    """Return the ends of the range of the values, and quantiles between which equal numbers of them lie.

    There are fewer quantiles if a value is frequent.
    """
    if not len(values):
        return []
    quantiles = np.quantile(values, np.arange(1, _BINS) / _BINS, method="inverted_cdf").tolist()
    return sorted({float(values.min()), *quantiles, math.nextafter(values.max(), math.inf)})


def _starts(bins: Bins, size: int) -> NDArray[Any] | None:
    if bins.edges is not None:
        return _number_starts(bins)
    return np.arange(1, size, dtype=np.uint8)[:, np.newaxis] if size <= _MAX_COMPARED else None


def _number_starts(bins: Bins) -> Floats:
    return np.array([*(bins.edges or ()), math.inf])[:, np.newaxis]


def _count_between(values: NDArray[Any], starts: NDArray[Any]) -> Iterator[int]:
    """Return how many values are below the first start, between two of them, and not below the last one.

    NaN is not below any. Counting what is below each takes a third of the time of a binary search for each value.
    """
    below = list(map(np.count_nonzero, values < starts))
    return map(sub, [*below, len(values)], [0, *below])


def _size(bins: Bins) -> int:
    return len(bins.edges or ()) + 2


def _code_count(codec: EventCodec, feature: Feature) -> int | None:
    return len(codec.categories[feature.name]) if isinstance(feature, Category) else None


def _is_valid(bins: Bins) -> bool:
    """Return whether a number's bins fit its edges, which increase, and any row was counted."""
    edges = bins.edges
    if edges is not None and not (len(bins.counts) == _size(bins) and all(map(math.isfinite, edges))):
        return False
    return sum(bins.counts) > 0 and all(low < high for low, high in pairwise(edges or ()))
