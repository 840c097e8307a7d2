"""Small CSV files to read."""

from pathlib import Path

from telco_stream.contracts.customer import COLUMNS

HEADER = ",".join(COLUMNS)
_CUSTOMER = (
    "7590-VHVEG,Female,0,Yes,No,1,No,No phone service,DSL,No,Yes,No,No,No,No,Month-to-month,Yes,Electronic check,"
    "29.85,29.85,No"
)


def customer(**fields: str) -> str:
    """A line of CSV: a good customer but for these fields, verbatim; quotes are the test's."""
    return ",".join((dict(zip(COLUMNS, _CUSTOMER.split(","), strict=True)) | fields).values())


def table(folder: Path, *lines: str, header: str = HEADER, mark: str = "") -> Path:
    """The file of these lines under the header."""
    path = folder / "customers.csv"
    path.write_bytes((mark + "".join(f"{line}\n" for line in (header, *lines))).encode())
    return path
