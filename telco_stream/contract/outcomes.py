"""Contract of outcomes: what came of a prediction, derived from the contract of the predictions."""

import msgspec

from telco_stream.contract.schema import Category, Contract

#: Names that a file of outcomes may give its columns instead of those of the contract.
OUTCOME, TIME = "outcome", "time"


def outcome_contract(contract: Contract) -> Contract:
    """Return the contract of records with the key, the value of the label as a category, and the time of the outcome.

    The key and the time have the names of the contract, and so has the label, which is the only column.
    """
    label = contract.label
    outcome = Category(name=label.name, values=(label.positive, label.negative))
    name = f"{contract.name}-outcomes"
    return msgspec.structs.replace(
        contract, name=name, features=(outcome,), carry=(), segments=(), charge=None, missing=()
    )


def outcome_aliases(contract: Contract) -> tuple[tuple[str, str], ...]:
    """Return the plain names of the columns of a file, each with its name in the contract."""
    return (contract.entity, contract.key.name), (OUTCOME, contract.label.name), (TIME, contract.time.name)
