"""Customers that don't exist, like those of the public data set. Pure: a seed in, rows of the 21 columns out.

A customer is drawn step by step, each step given what is known by then: contract, tenure, internet, household,
services, billing, charges and at last churn. The yes-or-no steps follow logistic laws that were fitted to the public
data set; charges follow its price list. Only `Random.random` and plain arithmetic are used, so that a seed gives the
same customers in every version of Python.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from math import exp, sqrt
from random import Random
from typing import TypeAlias

#: What is known of a customer so far; yes is 1.0, no 0.0.
Facts: TypeAlias = dict[str, float]
#: A number from 0 up to 1.
Draw: TypeAlias = Callable[[], float]
#: Log-odds of a yes: at the start, and what each fact adds.
Law: TypeAlias = tuple[float, tuple[tuple[str, float], ...]]

_CONTRACTS = ("Month-to-month", "One year", "Two year")
_FACT_OF_CONTRACT = ("month", "one", "two")
#: Where each contract's share of the customers ends.
_CONTRACT_BOUNDS = (0.55, 0.759)
#: Tenure in months at each twentieth of a contract's customers, and the share not billed yet, at tenure 0.
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
#: Dollars a month.
_PRICES = (
    ("PhoneService", 20), ("MultipleLines", 5), ("dsl", 25), ("fiber", 50), ("OnlineSecurity", 5), ("OnlineBackup", 5),
    ("DeviceProtection", 5), ("TechSupport", 5), ("StreamingTV", 10), ("StreamingMovies", 10),
)  # fmt: skip
#: What a bill strays from the list, and the sum of bills from tenure x charges: standard deviations.
_MONTHLY_SPREAD = 1.0
_TOTAL_SPREAD = 0.17

#: The laws. Tenure 1 is 72 months; services are those chosen so far.
_LAW_TABLE = """
law              start tenure   one   two  fiber   dsl  PhoneService SeniorCitizen Partner PaperlessBilling services
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

#: Identifiers of four digits and five letters; a step that shares no factor with their number meets each once
#: before any twice.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_POWERS = (26**4, 26**3, 26**2, 26, 1)
_WORDS = 26**5
_IDENTIFIERS = 10_000 * _WORDS
_STEP = 73_435_213_601


def synthesize(seed: int) -> Iterator[list[str]]:
    """Rows without end, fields in the order of the public columns; no customerID comes twice."""
    draw = Random(seed).random  # noqa: S311 - a sample needs no cryptography
    start = int(draw() * _IDENTIFIERS)
    return ([_identifier(start, number), *_fields(draw)] for number in count())


def _fields(draw: Draw) -> list[str]:
    """All fields but the first."""
    contract = bisect(_CONTRACT_BOUNDS, draw())
    months = _months(contract, draw)
    facts = _facts(contract, months, draw)
    cents = _monthly_cents(facts, draw)
    return [
        "Male" if draw() < _MALE_SHARE else "Female",
        str(int(facts["SeniorCitizen"])),
        *(_yes_no(facts[name]) for name in ("Partner", "Dependents")),
        str(months),
        _yes_no(facts["PhoneService"]),
        _yes_no(facts["MultipleLines"]) if facts["PhoneService"] else "No phone service",
        _internet(facts),
        *(_yes_no(facts[name]) if facts["internet"] else "No internet service" for name in _SERVICES),
        _CONTRACTS[contract],
        _yes_no(facts["PaperlessBilling"]),
        _payment(facts, draw),
        f"{cents / 100:g}",
        _total(months, cents, draw),
        _yes_no(facts["Churn"]),
    ]


def _months(contract: int, draw: Draw) -> int:
    if draw() < _NEW_SHARES[contract]:
        return 0
    twentieth, rest = divmod(draw() * 20, 1)
    low, high = _TENURES[contract][int(twentieth) : int(twentieth) + 2]
    return low + int(rest * (high - low) + 0.5)


def _facts(contract: int, months: int, draw: Draw) -> Facts:
    """All that the laws say of a customer; what isn't known yet counts as no."""
    tenure = months / _MAX_TENURE
    facts = _UNKNOWN | {"tenure": tenure, "root": sqrt(tenure), _FACT_OF_CONTRACT[contract]: 1.0}
    facts["internet"] = _yes("internet", facts, draw)
    facts["fiber"] = facts["internet"] and _yes("fiber", facts, draw)
    facts["dsl"] = facts["internet"] - facts["fiber"]
    facts["PhoneService"] = _yes("PhoneService", facts, draw) if facts["dsl"] else 1.0
    for name in ("SeniorCitizen", "Partner", "Dependents"):
        facts[name] = _yes(name, facts, draw)
    facts["MultipleLines"] = facts["PhoneService"] and _yes("MultipleLines", facts, draw)
    for name in _SERVICES:
        facts[name] = facts["internet"] and _yes(name, facts, draw)
        facts["services"] += facts[name]
    for name in ("PaperlessBilling", "check", "Churn"):
        facts[name] = _yes(name, facts, draw)
    return facts


def _yes(law: str, facts: Facts, draw: Draw) -> float:
    odds, weights = _LAWS[law]
    for fact, weight in weights:  # `sum` rounds otherwise since Python 3.12
        odds += weight * facts[fact]
    return 1.0 if draw() < 1 / (1 + exp(-odds)) else 0.0


def _yes_no(fact: float) -> str:
    return "Yes" if fact else "No"


def _internet(facts: Facts) -> str:
    if not facts["internet"]:
        return "No"
    return "Fiber optic" if facts["fiber"] else "DSL"


def _payment(facts: Facts, draw: Draw) -> str:
    if facts["check"]:
        return "Electronic check"
    if _yes("mailed", facts, draw):
        return "Mailed check"
    return "Bank transfer (automatic)" if draw() < _BANK_SHARE else "Credit card (automatic)"


def _monthly_cents(facts: Facts, draw: Draw) -> int:
    listed = sum([price * facts[name] for name, price in _PRICES])
    return 5 * round(20 * (listed + _MONTHLY_SPREAD * _stray(draw)))


def _total(months: int, cents: int, draw: Draw) -> str:
    """The sum of all bills, blank before the first; the first is exact, then charges have changed over time."""
    if months == 0:
        return " "
    changes = _TOTAL_SPREAD * sqrt(months - 1) * _stray(draw)
    return f"{5 * round(cents * (months + changes) / 5) / 100:g}"


def _stray(draw: Draw) -> float:
    """About normal: mean 0, standard deviation 1, never beyond 3."""
    return 2 * (draw() + draw() + draw()) - 3


def _identifier(start: int, number: int) -> str:
    """Four digits and five letters, scattered; once all have come, a number is added for each time round."""
    turn, place = divmod(number, _IDENTIFIERS)
    digits, word = divmod((start + place * _STEP) % _IDENTIFIERS, _WORDS)
    letters = "".join([_LETTERS[word // power % 26] for power in _POWERS])
    return f"{digits:04d}-{letters}{turn or ''}"


def _parse_laws(table: str) -> dict[str, Law]:
    (_, *facts), *laws = (line.split() for line in table.strip().splitlines())
    return {name: _law(dict(zip(facts, map(float, numbers), strict=True))) for name, *numbers in laws}


def _law(weights: Mapping[str, float]) -> Law:
    return weights["start"], tuple((fact, weight) for fact, weight in weights.items() if weight and fact != "start")


_LAWS = _parse_laws(_LAW_TABLE) | {"Churn": _law(_CHURN)}
_UNKNOWN = dict.fromkeys([*_LAWS, *(fact for _, weights in _LAWS.values() for fact, _ in weights)], 0.0)
