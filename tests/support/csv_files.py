"""Writes small CSV files."""

from pathlib import Path

from tests.support.telco import COLUMNS

HEADER = ",".join(COLUMNS)
_CUSTOMER = (
    "7590-VHVEG,Female,0,Yes,No,1,No,No phone service,DSL,No,Yes,No,No,No,No,Month-to-month,Yes,Electronic check,"
    "29.85,29.85,No"
)


def customer(**fields: str) -> str:
    """Return a CSV line of a good customer, with these fields replaced verbatim: the test adds quotes."""
    return ",".join((dict(zip(COLUMNS, _CUSTOMER.split(","), strict=True)) | fields).values())


def write_table(folder: Path, *lines: str, header: str = HEADER, bom: str = "") -> Path:
    """Write a file with these lines under the header."""
    path = folder / "customers.csv"
    path.write_bytes((bom + "".join(f"{line}\n" for line in (header, *lines))).encode())
    return path


def write_accounts(path: Path, rows: int = 60) -> None:
    """Write a file of the accounts that docs/contract.md describes."""
    header = "account_id,plan,monthly_fee,data_gb,complaints,left\n"
    lines = [f"{n},{'prepaid' if n % 2 else 'basic'},9.5,{n % 3 or 'NA'},{n % 4},{n % 5 // 4}\n" for n in range(rows)]
    path.write_text(header + "".join(lines))
