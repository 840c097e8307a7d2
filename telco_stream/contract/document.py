"""Reading and writing of `contract.json`, and the built-in contract."""

import pkgutil
from functools import cache

import msgspec

from telco_stream.contract.rules import broken_rules
from telco_stream.contract.schema import Contract

#: Largest file, in bytes.
MAX_BYTES = 1 << 20
#: Fields with one line for each of their items.
_LISTS_OF_COLUMNS = frozenset({"features", "carry"})
_decode = msgspec.json.Decoder(Contract).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class ContractError(ValueError):
    """The file is not a contract; `errors` are sentences about it."""

    def __init__(self, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


def decode_contract(content: bytes) -> Contract:
    """Decode and check the content of a file; raise `ContractError` with everything that is wrong."""
    if len(content) > MAX_BYTES:
        raise ContractError(f"it is larger than {MAX_BYTES:,} bytes")
    try:
        contract = _decode(content)
    except (ValueError, RecursionError) as error:  # msgspec and Unicode errors, and deeply nested JSON
        raise ContractError(str(error) or "it is nested too deeply") from None
    if errors := list(broken_rules(contract)):
        raise ContractError(*errors)
    return contract


def encode_contract(contract: Contract) -> bytes:
    """Encode as indented JSON with one line for each column, and a final newline."""
    lines = []
    for key, value in _decode_fields(msgspec.json.encode(contract)).items():
        text = _format(bytes(value))
        if key in _LISTS_OF_COLUMNS and text != "[]":
            columns = ",\n    ".join(_format(bytes(column)) for column in _decode_list(value))
            text = f"[\n    {columns}\n  ]"
        lines.append(f'  "{key}": {text}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


@cache
def builtin_contract() -> Contract:
    """Return the contract of the public telecom churn data set, which holds where none is named."""
    return decode_contract(builtin_content())


def builtin_content() -> bytes:
    """Return the file of the built-in contract."""
    content = pkgutil.get_data(__name__, "telco.json")
    assert content is not None  # noqa: S101 - it is part of the package
    return content


def _format(content: bytes) -> str:
    """Return JSON on one line, with spaces after commas and colons."""
    return msgspec.json.format(content, indent=0).decode()
