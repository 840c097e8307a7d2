"""The words of tables, page and live view: the contract's noun, what its model predicts, and of what name."""

import re

from telco_stream.contract.schema import Contract
from telco_stream.runtime.humanize import escape_unprintable

#: Characters of a name or a value in a sentence or a heading.
_MAX_LENGTH = 30
#: Positive values that confirm the name of the label; of others, the value itself is the outcome.
_CONFIRMING = frozenset({"yes", "y", "true", "t", "1", "1.0"})


class Wording:
    """Phrases about the predictions of a contract; those in capitals begin a line.

    The label `Status` with the positive value `bad` gives the bad rate; `Fraud` with `yes` gives the fraud rate. With
    the verb `default`, applicants are expected to default; without one, they are expected to have Status = bad.
    """

    def __init__(self, contract: Contract) -> None:
        label = contract.label
        name, self.positive = shorten(label.name), shorten(label.positive)
        confirms = label.positive.strip().casefold() in _CONFIRMING
        #: Noun for whom a key identifies, and its plural.
        self.entity, self.entities = contract.entity, contract.plural
        #: Name of the key's column.
        self.key = shorten(contract.key.name)
        #: Both values of the label, as `Status = bad`.
        self.condition, self.counter_condition = f"{name} = {self.positive}", f"{name} = {shorten(label.negative)}"
        #: What is predicted, as in `fraud rate`.
        self.outcome = column_name(label.name) if confirms else self.positive
        self.rate = f"{self.outcome} rate"
        #: Infinitive without `to`, for one or several.
        self.verb = label.verb or f"have {self.condition}"
        self.expected = f"Expected to {self.verb}"
        self.probability = column_name(label.probability)
        self.most_likely = f"{capitalize(self.entities)} most likely to {self.verb}"
        self.report = f"{capitalize(self.outcome)} report" if confirms else f"Report on {self.condition}"
        #: How the revenue at risk is computed.
        self.revenue = f"{column_name(contract.charge or '')} x {self.probability}"


def column_name(column: str) -> str:
    """Return the name of a column in a sentence: `home owner` for `HomeOwner` and `home_owner`."""
    return shorten(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column.replace("_", " ")).lower())


def capitalize(phrase: str) -> str:
    """Return the phrase as the beginning of a line, its other letters unchanged."""
    return phrase[:1].upper() + phrase[1:]


def shorten(name: str) -> str:
    """Return a name or a value in a length that fits a heading, without control characters."""
    name = escape_unprintable(name)
    return name if len(name) <= _MAX_LENGTH else f"{name[: _MAX_LENGTH - 1]}…"
