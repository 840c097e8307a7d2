"""`telco-stream sample`: writes synthetic rows to a CSV file, in constant memory."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Contract
from telco_stream.runtime.files import open_output
from telco_stream.sample.contract_rows import draw_rows
from telco_stream.sample.synthetic import synthesize

#: Rows written at a time.
_CHUNK = 1_000
_needs_quotes = re.compile(r'[",\r\n]').search


@dataclass(frozen=True, slots=True)
class SampleResult:
    """The file that was written."""

    path: str
    rows: int
    seed: int
    churn_rate: float
    sha256: str


def write_sample(
    path: Path, rows: int, seed: int, advance: Callable[[int], None], contract: Contract | None = None
) -> SampleResult:
    """Write `rows` rows of the contract to `path`, or to stdout for `-`; call `advance` with the rows of each write.

    Without a contract, or with the built-in one, the rows are customers as in the public data set. Raises `UsageError`
    if the file can't be written.
    """
    contract = contract or builtin_contract()
    drawn = synthesize(seed) if contract == builtin_contract() else draw_rows(contract, seed)
    remaining = islice(drawn, rows)
    names = [contract.key.name, *(column.name for column in contract.columns), contract.label.name]
    digest = hashlib.sha256()
    positive = 0
    with open_output(path) as file:
        chunk = [names]
        while chunk:
            text = _encode(chunk)
            digest.update(text)
            file.write(text)
            chunk = list(islice(remaining, _CHUNK))
            positive += sum(fields[-1] == contract.label.positive for fields in chunk)
            advance(len(chunk))
    return SampleResult(str(path), rows, seed, positive / rows if rows else 0.0, digest.hexdigest())


def _encode(rows: Iterable[list[str]]) -> bytes:
    """Write CSV; versions of Python differ in what `csv.writer` quotes."""
    return "".join([f"{','.join(map(_quote, fields))}\n" for fields in rows]).encode()


def _quote(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""')) if _needs_quotes(text) else text
