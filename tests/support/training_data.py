"""Random labelled customers: as rows of a CSV file, and decoded."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

from telco_stream.contract.events import Event
from telco_stream.messages.codec import Codec
from tests.support.telco import CATEGORIES, CODEC, COLUMNS

NUMBERS = ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges")

Row = dict[str, str]


def labelled_rows(count: int, seed: int = 0) -> list[Row]:
    """Return rows in which new customers, and those with monthly contracts, churn more often."""
    random = Random(seed)
    return [_row(random, number) for number in range(count)]


def write_csv(path: Path, rows: Iterable[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def customers_of(rows: Iterable[Row], codec: Codec = CODEC) -> list[Event]:
    time = {"event_ts": "2026-01-01T00:00:00Z"}
    return [codec.events.decode(json.dumps(row | time).encode()) for row in rows]


def _row(random: Random, number: int) -> Row:
    row = {name: random.choice(values) for name, values in CATEGORIES.items()}
    tenure, monthly = random.randrange(73), round(random.uniform(18, 119), 2)
    odds = 0.6 * (row["Contract"] == "Month-to-month") + 0.3 * (tenure < 12)
    return row | {
        "customerID": f"{number:04}-MADEUP",
        "SeniorCitizen": str(random.randrange(2)),
        "tenure": str(tenure),
        "MonthlyCharges": str(monthly),
        "TotalCharges": str(round(tenure * monthly, 2)) if tenure else " ",
        "Churn": "Yes" if random.random() < odds else "No",
    }
