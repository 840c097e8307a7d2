"""`make bench`: everything measured in one session, as one table, with JSON beside it. Nothing is asserted.

--quick goes through it with small counts; --only takes words, and measures what has one of them in its name.
"""

import argparse
import signal
import tempfile
from pathlib import Path

from benchmarks import latency, startup, throughput
from benchmarks.bench import Bench, Counts, filled
from benchmarks.broker import Topics, a_broker
from benchmarks.measured import Figures
from benchmarks.table import facts, lines, save

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure and tell."""
    asked = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # the broker's container goes, whoever ends us
    counts = (Counts.quick if asked.quick else Counts.full)(asked.runs)
    figures: Figures = {}
    with (
        a_broker() as bootstrap,
        tempfile.TemporaryDirectory() as folder,
        filled(Bench(bootstrap, Topics(bootstrap), Path(folder), counts)) as bench,
    ):
        for room in (throughput, latency, startup):
            figures |= room.measure(bench, lambda name: not asked.only or any(word in name for word in asked.only))
    found = facts(counts, "a broker in a container beside it" if "localhost" in bootstrap else "a broker elsewhere")
    print("\n".join(lines(found, figures)))
    if not asked.quick:
        print(f"\n{save(RESULTS, found, figures)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts: to see that it works")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="just what has one of these words in its name")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each (3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
