"""Reader of LightGBM's model files, which are text. The library is not needed.

LightGBM compares in double precision. It saves the values of pandas categories, in the order of their codes, in the
last line of the file, and numbers below 1e-35 count as zero.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from telco_stream.contract.schema import Contract
from telco_stream.messages.codec import Codec
from telco_stream.model.features import input_order
from telco_stream.model.trees.columns import Column, coded, feature_columns, on_features
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Node, Split, Tree, UnreadableModelError

#: Numbers up to this one count as zero; LightGBM stores it in single precision.
_ZERO = float(np.float32(1e-35))
#: Bits of a split's type: whether it tests a set, whether missing values go left, and what counts as missing.
_IS_SET, _MISSING_LEFT = 1, 2
_ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2
_WORD = 32
#: Lines of the header that are needed; a model of a function as objective has no `objective`.
_KEYS = ("tree", "objective", "num_class", "feature_names", "feature_infos")

_Section = dict[str, str]


def read_lightgbm(text: str, codec: Codec, *, contract_codes: bool = False) -> Ensemble:
    """Return the trees of a binary classifier from the text of its file.

    `contract_codes` says that a model without the values of its categories was fitted to codes in the order of the
    contract. Raise UnreadableModelError if the model cannot be read exactly.
    """
    return lightgbm_ensemble(text, lightgbm_columns(text, codec, contract_codes=contract_codes))


def lightgbm_ensemble(text: str, columns: Sequence[Column]) -> Ensemble:
    """Return the trees of a binary classifier that reads these columns; see `read_lightgbm`."""
    header = _header(text)
    _, *sections = _sections(text)
    _check_kind(header, sections)
    return Ensemble(on_features(map(_tree, sections), columns)).scaled(_sigmoid(header["objective"]))


def lightgbm_columns(text: str, codec: Codec, *, contract_codes: bool = False) -> list[Column]:
    """Return the columns that the model of a file reads; see `read_lightgbm`."""
    header = _header(text)
    names = _contract_names(header["feature_names"].split(" "), codec.contract)
    columns = feature_columns(codec.events, names)
    for position, known in _categories(header, text, names, codec.contract, contract_codes=contract_codes).items():
        columns[position] = coded(columns[position], known, codec.contract)
    return columns


def _sections(text: str) -> Iterator[_Section]:
    """Yield the header and each tree as keys and values."""
    trees, _, _ = text.partition("\nend of trees")
    for section in trees.split("\nTree="):
        lines = (line.partition("=") for line in section.splitlines())
        yield {key: value for key, _, value in lines}


def _header(text: str) -> _Section:
    header = next(_sections(text))
    if missing := [key for key in _KEYS if key not in header]:
        raise UnreadableModelError(f"it is not a LightGBM model file: it has no {missing[0]}")
    return header


def _check_kind(header: _Section, trees: Sequence[_Section]) -> None:
    if header["objective"].split(" ")[0] != "binary" or header["num_class"] != "1":
        raise UnreadableModelError(f"its objective is {header['objective']}, not binary")
    if "average_output" in header:
        raise UnreadableModelError("it is a random forest of LightGBM (boosting rf), which averages its trees")
    if any(tree.get("is_linear", "0") != "0" for tree in trees):
        raise UnreadableModelError("it has linear trees, which are not constant in a leaf")


def _sigmoid(objective: str) -> float:
    """Return the factor of the sum in the logistic function."""
    options = dict(option.split(":") for option in objective.split(" ")[1:] if ":" in option)
    return float(options.get("sigmoid", 1.0))


def _contract_names(names: Sequence[str], contract: Contract) -> list[str]:
    """Return the contract's names of the columns; LightGBM replaces blanks by underscores."""
    originals = {name.replace(" ", "_"): name for name in input_order(contract)}
    return [originals.get(name, name) for name in names]


def _categories(
    header: _Section, text: str, names: Sequence[str], contract: Contract, *, contract_codes: bool
) -> dict[int, Sequence[Any] | None]:
    """Return the values of each column that the model reads as a category, in the order of their codes."""
    in_contract = {category.name for category in contract.categories}
    infos = header["feature_infos"].split(" ")
    positions = [
        position
        for position, (name, info) in enumerate(zip(names, infos, strict=True))
        if name in in_contract or (info != "none" and not info.startswith("["))
    ]
    known = _pandas_categories(text)
    if len(known) == len(positions):
        return dict(zip(positions, known, strict=True))
    if known or not contract_codes:
        listed = ", ".join(names[position] for position in positions)
        raise UnreadableModelError(
            f"its file has the values of {len(known)} categories, but it reads {len(positions)} ({listed})"
        )
    return dict.fromkeys(positions)


def _pandas_categories(text: str) -> list[list[Any]]:
    _, found, line = text.rpartition("\npandas_categorical:")
    return (json.loads(line) if found else None) or []


def _tree(section: _Section) -> Tree:
    leaves = [Leaf(float(value)) for value in section["leaf_value"].split(" ")]
    if len(leaves) == 1:
        return (leaves[0],)
    inner = len(leaves) - 1
    children = (section[f"{side}_child"].split(" ") for side in ("left", "right"))
    # A leaf is a negative number; leaves follow the splits.
    left, right = ([child if child >= 0 else inner - 1 - child for child in map(int, side)] for side in children)
    columns = map(int, section["split_feature"].split(" "))
    tests = _tests(section)
    splits: list[Node] = [
        Split(column, *test, passed, failed)
        for column, test, passed, failed in zip(columns, tests, left, right, strict=True)
    ]
    return (*splits, *leaves)


def _tests(section: _Section) -> Iterator[tuple[float | frozenset[float], bool]]:
    """Yield the test of each split, and whether a missing value passes it."""
    sets = list(_sets(section))
    kinds = map(int, section["decision_type"].split(" "))
    for threshold, kind in zip(section["threshold"].split(" "), kinds, strict=True):
        if kind & _IS_SET:
            yield sets[int(threshold)], False
            continue
        if kind >> 2 == _ZERO_IS_MISSING:
            raise UnreadableModelError("it was fitted with zero_as_missing")
        value = _beside_zero(float(threshold))
        yield value, bool(kind & _MISSING_LEFT) if kind >> 2 == _NAN_IS_MISSING else value >= 0


def _beside_zero(threshold: float) -> float:
    """Return the threshold for numbers as they are, from one for numbers of which tiny ones are zero."""
    if 0 <= threshold < _ZERO:
        return _ZERO
    return float(np.nextafter(-_ZERO, -1)) if -_ZERO <= threshold < 0 else threshold


def _sets(section: _Section) -> Iterator[frozenset[float]]:
    """Yield the codes in each set of a tree, which are stored as bits of words."""
    words = list(map(int, section.get("cat_threshold", "").split()))
    for start, stop in pairwise(map(int, section.get("cat_boundaries", "").split())):
        codes = range((stop - start) * _WORD)
        yield frozenset(float(code) for code in codes if words[start + code // _WORD] >> code % _WORD & 1)
