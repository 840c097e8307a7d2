"""CSV files for runs."""

from pathlib import Path

from tests.support.cli import ROOT, run_cli

_SAMPLE = ROOT / "data/sample_customers.csv"


def customers(path: Path, rows: int, poison: int = 0) -> Path:
    """Write a CSV with `rows` valid customers, and `poison` customers with an unknown contract."""
    header, *lines = _SAMPLE.read_text().splitlines()
    bad = [line.replace("Month-to-month", "By the hour") for line in lines if "Month-to-month" in line][:poison]
    path.write_text("\n".join([header, *lines[:rows], *bad, ""]))
    return path


def many_customers(path: Path, rows: int) -> Path:
    """Write a CSV with `rows` synthetic customers."""
    completed = run_cli("sample", "--rows", str(rows), "--seed", "7", "--out", str(path))
    assert completed.returncode == 0, completed.stderr
    return path
