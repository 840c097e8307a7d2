"""Synthetic rows for any contract. Pure: a contract and a seed in, rows of a CSV file out.

Columns are drawn independently, within their ranges and values. The label follows a logistic regression whose
coefficients are drawn first, so that a model has something to learn. Only `Random.random` and plain arithmetic are
used, so that a seed gives the same rows in every version of Python.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from math import exp, sqrt
from random import Random
from typing import TypeAlias

from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number, Text

#: Shares of blanks in nullable columns, and of unknown texts in categories with `other`.
_BLANK_SHARE, _UNKNOWN_SHARE = 0.05, 0.02
#: The log-odds of the positive label: mean and standard deviation.
_MEAN_ODDS, _ODDS_SPREAD = -1.2, 2.0
#: Rows drawn to measure the scores before the first row.
_MEASURED = 500
#: Digits of a number beyond the first one of its range.
_DIGITS = 5
#: Different texts of a column of texts.
_TEXTS = 20

#: Returns a number from 0 to 1, 1 excluded.
Draw: TypeAlias = Callable[[], float]
#: Returns a text, and its effect on the label from -1 to 1.
DrawColumn: TypeAlias = Callable[[Draw], tuple[str, float]]


def draw_rows(contract: Contract, seed: int) -> Iterator[list[str]]:
    """Yield rows without end: key, columns in the order of the contract, and label. Keys are numbered from 1."""
    draw = Random(seed).random  # noqa: S311 - a sample needs no cryptography
    columns = [_column(column, contract) for column in contract.columns]
    # Cubes, so that a few features matter most. Carried columns have no effect.
    weights = [(2 * draw() - 1) ** 3 if index < len(contract.features) else 0.0 for index in range(len(columns))]
    unlabelled = _unlabelled(columns, weights, draw)
    mean, spread = _measure([score for _, score in islice(unlabelled, _MEASURED)])
    prefix = "" if contract.key.kind == "integer" else f"{contract.entity}-"
    for number, (texts, score) in zip(count(1), unlabelled, strict=False):
        odds = _MEAN_ODDS + _ODDS_SPREAD * (score - mean) / spread
        is_positive = draw() < 1 / (1 + exp(-odds))
        yield [f"{prefix}{number}", *texts, contract.label.positive if is_positive else contract.label.negative]


def _unlabelled(columns: list[DrawColumn], weights: list[float], draw: Draw) -> Iterator[tuple[list[str], float]]:
    """Yield rows without end: the texts of the columns, and the weighted sum of their effects."""
    while True:
        texts, score = [], 0.0
        for draw_column, weight in zip(columns, weights, strict=True):  # `sum` rounds differently since Python 3.12
            text, effect = draw_column(draw)
            texts.append(text)
            score += weight * effect
        yield texts, score


def _measure(scores: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation of the scores; 1 if they are all equal."""
    mean, variance = 0.0, 0.0
    for score in scores:
        mean += score / len(scores)
    for score in scores:
        variance += (score - mean) ** 2 / len(scores)
    return mean, sqrt(variance) or 1.0


def _column(column: Carried, contract: Contract) -> DrawColumn:
    """Return a function that draws the texts of a column."""
    match column:
        case Number():
            draw_filled: DrawColumn = partial(_number, column)
        case Integer():
            draw_filled = partial(_integer, column)
        case Boolean():
            draw_filled = _boolean
        case Category():
            draw_filled = partial(_value, column, _unknown_text(column, contract))
        case Text():
            texts = [f"{column.name} {number}"[: column.max_length] for number in range(1, _TEXTS + 1)]
            draw_filled = partial(_text, texts)
    return partial(_nullable, draw_filled) if column.nullable else draw_filled


def _nullable(draw_filled: DrawColumn, draw: Draw) -> tuple[str, float]:
    return ("", 0.0) if draw() < _BLANK_SHARE else draw_filled(draw)


def _number(column: Number, draw: Draw) -> tuple[str, float]:
    share, span = draw(), column.maximum - column.minimum
    decimals = _DIGITS - int(f"{span:e}".partition("e")[2])
    number = round(column.minimum + share * span, decimals)
    return repr(min(max(number, column.minimum), column.maximum)).removesuffix(".0"), 2 * share - 1


def _integer(column: Integer, draw: Draw) -> tuple[str, float]:
    share = draw()
    number = column.minimum + int(share * (column.maximum - column.minimum + 1))
    return str(min(number, column.maximum)), 2 * share - 1


def _boolean(draw: Draw) -> tuple[str, float]:
    return ("true", 1.0) if draw() < 1 / 2 else ("false", -1.0)


def _value(column: Category, unknown: str | None, draw: Draw) -> tuple[str, float]:
    """Draw one of the values, the first one most often, or an unknown text."""
    if unknown is not None and draw() < _UNKNOWN_SHARE:
        return unknown, 0.0
    last = len(column.values) - 1
    index = int(draw() ** 2 * len(column.values))
    return column.values[index], 2 * index / last - 1 if last else 0.0


def _text(texts: list[str], draw: Draw) -> tuple[str, float]:
    return texts[int(draw() * len(texts))], 0.0


def _unknown_text(column: Category, contract: Contract) -> str | None:
    """Return a text that is not one of the values, if the category accepts such."""
    if column.other is None:
        return None
    known = {*column.values, column.other, *contract.missing}
    return next(text for number in count(1) if (text := f"unknown {number}") not in known)
