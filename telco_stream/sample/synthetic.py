"""Synthetic customers, distributed like the public data set. Pure: a seed in, rows of the 21 columns out.

The attributes of a customer are drawn one after another, each conditional on the previous ones: contract, tenure,
internet, household, services, billing, charges, churn. Yes-or-no attributes follow logistic regressions that were
fitted to the public data set; charges follow its price list. Only `Random.random` and plain arithmetic are used, so
that a seed gives the same customers in every version of Python.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from math import exp, sqrt
from random import Random
from typing import TypeAlias

#: Attributes drawn so far; yes is 1.0, no is 0.0.
Attributes: TypeAlias = dict[str, float]
#: Returns a number from 0 to 1, 1 excluded.
Draw: TypeAlias = Callable[[], float]
#: The log-odds of a yes: intercept, and the weight of each attribute.
Regression: TypeAlias = tuple[float, tuple[tuple[str, float], ...]]

_CONTRACTS = ("Month-to-month", "One year", "Two year")
_CONTRACT_ATTRIBUTES = ("month", "one", "two")
#: Cumulative shares of the first two contracts.
_CONTRACT_BOUNDS = (0.55, 0.759)
#: For each contract: the 5 % quantiles of the tenure in months, and the share of customers at tenure 0, not billed yet.
_TENURES = (
    (1, 1, 1, 1, 2, 3, 4, 6, 8, 10, 12, 14, 17, 21, 24, 29, 33, 39, 46, 56, 72),
    (1, 10, 14, 19, 23, 27, 30, 34, 37, 41, 44, 47, 50, 53, 55, 58, 61, 64, 67, 69, 72),
    (1, 16, 27, 37, 45, 48, 53, 57, 60, 62, 64, 66, 68, 69, 70, 71, 72, 72, 72, 72, 72),
)
_NEW_SHARES = (0.0, 0.001, 0.006)
_MAX_TENURE = 72
_MALE_SHARE = 0.505
_BANK_SHARE = 0.504

_SERVICES = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")
#: Dollars per month.
_PRICES = (
    ("PhoneService", 20), ("MultipleLines", 5), ("dsl", 25), ("fiber", 50), ("OnlineSecurity", 5), ("OnlineBackup", 5),
    ("DeviceProtection", 5), ("TechSupport", 5), ("StreamingTV", 10), ("StreamingMovies", 10),
)  # fmt: skip
#: Standard deviations: of a monthly charge from the price list, and of the total from tenure x monthly charge.
_MONTHLY_SPREAD = 1.0
_TOTAL_SPREAD = 0.17

#: Tenure 1 is 72 months; `services` counts the services drawn so far.
_REGRESSION_TABLE = """
attribute        start tenure   one   two  fiber   dsl  PhoneService SeniorCitizen Partner PaperlessBilling services
internet          1.23   3.28 -1.86 -3.28      0     0             0             0       0                0        0
fiber             0.08   1.86 -1.34 -2.08      0     0             0             0       0                0        0
PhoneService      0.85  -0.18  0.33  0.36      0     0             0             0       0                0        0
SeniorCitizen    -3.17   1.06 -0.75 -1.22   1.96  1.01             0             0       0                0        0
Partner          -1.19   2.05  0.23  0.45      0     0             0          0.13       0                0        0
Dependents       -1.69  -0.65  0.45  0.63  -0.74 -0.30             0         -1.84    2.48                0        0
MultipleLines    -2.48   2.73 -0.45 -0.20   1.81  0.82             0          0.39    0.10                0        0
OnlineSecurity   -1.47   1.73  0.57  1.06  -1.01     0          0.38         -0.34       0                0        0
OnlineBackup     -1.60   2.52  0.12  0.20  -0.06     0          0.11             0       0                0     0.09
DeviceProtection -1.45   1.76  0.70  1.28   0.25     0         -0.16             0       0                0        0
TechSupport      -1.51   0.75  0.83  1.78  -0.78     0          0.29         -0.47       0                0     0.24
StreamingTV      -1.46   1.11  0.44  0.74   1.06     0         -0.26          0.10       0                0     0.19
StreamingMovies  -1.76   0.70  0.27  0.41   1.05     0         -0.34          0.24       0                0     0.46
PaperlessBilling -0.66   0.52 -0.54 -0.82   1.61  0.74             0          0.39       0                0     0.07
check            -1.80  -0.74 -0.62 -1.33   2.07  1.21             0          0.36       0             0.35        0
mailed            1.30  -2.94  0.09  0.36  -1.06 -0.30             0         -0.51       0            -0.29    -0.09
"""
_CHURN = {
    "start": 0.07, "tenure": 2.76, "root": -5.77, "one": -0.72, "two": -1.76, "fiber": 1.76, "dsl": 0.83,
    "PhoneService": -0.53, "MultipleLines": 0.36, "SeniorCitizen": 0.22, "Dependents": -0.12, "PaperlessBilling": 0.35,
    "check": 0.33, "OnlineSecurity": -0.32, "OnlineBackup": -0.13, "TechSupport": -0.28, "StreamingTV": 0.30,
    "StreamingMovies": 0.31,
}  # fmt: skip

#: Customer IDs have four digits and five letters. A step that is coprime with their number visits each ID once before
#: it repeats one.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_POWERS = (26**4, 26**3, 26**2, 26, 1)
_WORDS = 26**5
_IDENTIFIERS = 10_000 * _WORDS
_STEP = 73_435_213_601


def synthesize(seed: int) -> Iterator[list[str]]:
    """Yield rows without end, fields in the order of the public columns; no customerID is repeated."""
    draw = Random(seed).random  # noqa: S311 - a sample needs no cryptography
    start = int(draw() * _IDENTIFIERS)
    return ([_identifier(start, number), *_fields(draw)] for number in count())


def _fields(draw: Draw) -> list[str]:
    """Draw all fields but the customer ID."""
    contract = bisect(_CONTRACT_BOUNDS, draw())
    months = _months(contract, draw)
    attributes = _attributes(contract, months, draw)
    cents = _monthly_cents(attributes, draw)
    return [
        "Male" if draw() < _MALE_SHARE else "Female",
        str(int(attributes["SeniorCitizen"])),
        *(_yes_no(attributes[name]) for name in ("Partner", "Dependents")),
        str(months),
        _yes_no(attributes["PhoneService"]),
        _yes_no(attributes["MultipleLines"]) if attributes["PhoneService"] else "No phone service",
        _internet(attributes),
        *(_yes_no(attributes[name]) if attributes["internet"] else "No internet service" for name in _SERVICES),
        _CONTRACTS[contract],
        _yes_no(attributes["PaperlessBilling"]),
        _payment(attributes, draw),
        f"{cents / 100:g}",
        _total(months, cents, draw),
        _yes_no(attributes["Churn"]),
    ]


def _months(contract: int, draw: Draw) -> int:
    if draw() < _NEW_SHARES[contract]:
        return 0
    twentieth, rest = divmod(draw() * 20, 1)
    low, high = _TENURES[contract][int(twentieth) : int(twentieth) + 2]
    return low + int(rest * (high - low) + 0.5)


def _attributes(contract: int, months: int, draw: Draw) -> Attributes:
    """Draw the attributes that follow a regression; those not drawn yet count as no."""
    tenure = months / _MAX_TENURE
    attributes = _NONE_DRAWN | {"tenure": tenure, "root": sqrt(tenure), _CONTRACT_ATTRIBUTES[contract]: 1.0}
    attributes["internet"] = _draw_yes("internet", attributes, draw)
    attributes["fiber"] = attributes["internet"] and _draw_yes("fiber", attributes, draw)
    attributes["dsl"] = attributes["internet"] - attributes["fiber"]
    attributes["PhoneService"] = _draw_yes("PhoneService", attributes, draw) if attributes["dsl"] else 1.0
    for name in ("SeniorCitizen", "Partner", "Dependents"):
        attributes[name] = _draw_yes(name, attributes, draw)
    attributes["MultipleLines"] = attributes["PhoneService"] and _draw_yes("MultipleLines", attributes, draw)
    for name in _SERVICES:
        attributes[name] = attributes["internet"] and _draw_yes(name, attributes, draw)
        attributes["services"] += attributes[name]
    for name in ("PaperlessBilling", "check", "Churn"):
        attributes[name] = _draw_yes(name, attributes, draw)
    return attributes


def _draw_yes(name: str, attributes: Attributes, draw: Draw) -> float:
    odds, weights = _REGRESSIONS[name]
    for attribute, weight in weights:  # `sum` rounds differently since Python 3.12
        odds += weight * attributes[attribute]
    return 1.0 if draw() < 1 / (1 + exp(-odds)) else 0.0


def _yes_no(value: float) -> str:
    return "Yes" if value else "No"


def _internet(attributes: Attributes) -> str:
    if not attributes["internet"]:
        return "No"
    return "Fiber optic" if attributes["fiber"] else "DSL"


def _payment(attributes: Attributes, draw: Draw) -> str:
    if attributes["check"]:
        return "Electronic check"
    if _draw_yes("mailed", attributes, draw):
        return "Mailed check"
    return "Bank transfer (automatic)" if draw() < _BANK_SHARE else "Credit card (automatic)"


def _monthly_cents(attributes: Attributes, draw: Draw) -> int:
    listed = sum([price * attributes[name] for name, price in _PRICES])
    return 5 * round(20 * (listed + _MONTHLY_SPREAD * _noise(draw)))


def _total(months: int, cents: int, draw: Draw) -> str:
    """Return the sum of all bills: blank before the first, one monthly charge after it, later with a deviation."""
    if months == 0:
        return " "
    deviation = _TOTAL_SPREAD * sqrt(months - 1) * _noise(draw)
    return f"{5 * round(cents * (months + deviation) / 5) / 100:g}"


def _noise(draw: Draw) -> float:
    """Draw from an approximately normal distribution: mean 0, standard deviation 1, at most 3 away."""
    return 2 * (draw() + draw() + draw()) - 3


def _identifier(start: int, number: int) -> str:
    """Return four digits and five letters; after all combinations, a number is appended for each further round."""
    round_, index = divmod(number, _IDENTIFIERS)
    digits, word = divmod((start + index * _STEP) % _IDENTIFIERS, _WORDS)
    letters = "".join([_LETTERS[word // power % 26] for power in _POWERS])
    return f"{digits:04d}-{letters}{round_ or ''}"


def _parse_regressions(table: str) -> dict[str, Regression]:
    (_, *attributes), *lines = (line.split() for line in table.strip().splitlines())
    return {name: _regression(dict(zip(attributes, map(float, numbers), strict=True))) for name, *numbers in lines}


def _regression(weights: Mapping[str, float]) -> Regression:
    return weights["start"], tuple((name, weight) for name, weight in weights.items() if weight and name != "start")


_REGRESSIONS = _parse_regressions(_REGRESSION_TABLE) | {"Churn": _regression(_CHURN)}
_NONE_DRAWN = dict.fromkeys(
    [*_REGRESSIONS, *(name for _, weights in _REGRESSIONS.values() for name, _ in weights)], 0.0
)
