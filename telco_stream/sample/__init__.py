"""`telco-stream sample`: writes synthetic customers to a CSV file, in constant memory."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from telco_stream.contract.document import builtin_contract
from telco_stream.runtime.files import open_output
from telco_stream.sample.synthetic import synthesize

#: Rows written at a time.
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class SampleResult:
    """The file that was written."""

    path: str
    rows: int
    seed: int
    churn_rate: float
    sha256: str


def write_sample(path: Path, rows: int, seed: int, advance: Callable[[int], None]) -> SampleResult:
    """Write `rows` customers to `path`, or to stdout for `-`; call `advance` with the rows of each write.

    Raises `UsageError` if the file can't be written.
    """
    contract, customers = builtin_contract(), islice(synthesize(seed), rows)
    names = [contract.key.name, *(column.name for column in contract.columns), contract.label.name]
    digest = hashlib.sha256()
    churners = 0
    with open_output(path) as file:
        chunk = [names]
        while chunk:
            text = "".join([f"{','.join(fields)}\n" for fields in chunk]).encode()
            digest.update(text)
            file.write(text)
            chunk = list(islice(customers, _CHUNK))
            churners += sum(fields[-1] == contract.label.positive for fields in chunk)
            advance(len(chunk))
    return SampleResult(str(path), rows, seed, churners / rows if rows else 0.0, digest.hexdigest())
