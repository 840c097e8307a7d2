"""`telco-stream sample`: synthetic customers in a CSV, any number of them in the same memory."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from telco_stream.atomic import replacing
from telco_stream.contracts.customer import COLUMNS
from telco_stream.sample.synthetic import synthesize

#: What `data/sample_customers.csv` was made with.
DEFAULT_ROWS = 1_000
DEFAULT_SEED = 7
#: Rows that are written at a time.
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class SampleResult:
    """The file that was written: the same seed and rows give the same sha256."""

    path: str
    rows: int
    seed: int
    churn_rate: float
    sha256: str


def write_sample(path: Path, rows: int, seed: int, advance: Callable[[int], None]) -> SampleResult:
    """Replaces `path` with `rows` customers; `advance` hears of rows as they are written. Raises UsageError."""
    customers = islice(synthesize(seed), rows)
    digest = hashlib.sha256()
    churners = 0
    with replacing(path) as file:
        chunk = [list(COLUMNS)]
        while chunk:
            text = "".join([f"{','.join(fields)}\n" for fields in chunk]).encode()
            digest.update(text)
            file.write(text)
            chunk = list(islice(customers, _CHUNK))
            churners += sum(fields[-1] == "Yes" for fields in chunk)
            advance(len(chunk))
    return SampleResult(str(path), rows, seed, churners / rows if rows else 0.0, digest.hexdigest())
