"""Reading and writing of `contract.json`, and the built-in contract."""

import pkgutil
from collections.abc import Sequence
from functools import cache

import msgspec

from telco_stream.contract.faults import Fault, find_lines, parse_json, syntax_fault
from telco_stream.contract.rules import broken_rules
from telco_stream.contract.schema import Contract
from telco_stream.contract.structure import structure_faults

#: Largest file, in bytes.
MAX_BYTES = 1 << 20
#: Errors of one file that are described.
_MAX_ERRORS = 20
#: Fields with one line for each of their items.
_LISTS_OF_COLUMNS = frozenset({"features", "carry"})
_decode = msgspec.json.Decoder(Contract).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class ContractError(ValueError):
    """The file is not a contract; `errors` are sentences about it, and the text is the first of them."""

    def __init__(self, *errors: str) -> None:
        more = f" (and {len(errors) - 1} more: `telco-stream contract check` lists them)" if errors[1:] else ""
        super().__init__(f"{errors[0]}{more}")
        self.errors = errors


def decode_contract(content: bytes) -> Contract:
    """Decode and check the content of a file; raise `ContractError` with everything that is wrong."""
    if len(content) > MAX_BYTES:
        raise ContractError(f"it is larger than {MAX_BYTES:,} bytes")
    try:
        contract = _decode(content)
    except (ValueError, RecursionError) as error:  # msgspec and Unicode errors, and deeply nested JSON
        raise _explain(content, error) from None
    _, repeated = parse_json(content)
    if faults := [*repeated, *broken_rules(contract)]:
        raise _as_error(content, faults)
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
    """Return the contract of the public telecom data set, the default."""
    return decode_contract(builtin_content())


def builtin_content() -> bytes:
    """Return the file of the built-in contract."""
    content = pkgutil.get_data(__name__, "telco.json")
    assert content is not None  # noqa: S101 - it is part of the package
    return content


def json_schema() -> str:
    """Return the JSON Schema of the format, for editors; `make docs` generates it."""
    content = pkgutil.get_data(__name__, "contract.schema.json")
    assert content is not None  # noqa: S101 - it is part of the package
    return content.decode()


def _explain(content: bytes, error: Exception) -> ContractError:
    """Return an error that describes all that msgspec can refuse."""
    if fault := syntax_fault(content):
        return ContractError(fault)
    try:
        document, repeated = parse_json(content)
    except RecursionError:  # Python's parser is not as deep as that of msgspec
        return ContractError("it is nested too deeply")
    faults = [*repeated, *structure_faults(document)]
    return _as_error(content, faults) if faults else ContractError(f"it is not a contract: {error}")


def _as_error(content: bytes, faults: Sequence[Fault]) -> ContractError:
    """Return an error with the lines of the faults."""
    shown = faults[:_MAX_ERRORS]
    lines = find_lines(content.decode(), {fault.path for fault in shown if fault.path})
    errors = [f"line {line}: {fault.text}" if (line := lines.get(fault.path)) else fault.text for fault in shown]
    more = [f"… and {len(faults) - len(shown):,} more"] if len(faults) > len(shown) else []
    return ContractError(*errors, *more)


def _format(content: bytes) -> str:
    """Return JSON on one line, with spaces after commas and colons."""
    return msgspec.json.format(content, indent=0).decode()
