"""`make bench`: measures everything in one session, prints a table and writes JSON. It asserts nothing.

--quick uses small counts; --only WORD … measures only subjects with one of the words in their names.
"""

import argparse
import signal
import tempfile
from pathlib import Path

from benchmarks import latency, startup, throughput
from benchmarks.broker import Topics, running_broker
from benchmarks.figures import Figures
from benchmarks.session import BenchSession, Counts, with_data
from benchmarks.table import describe_session, lines, save

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure everything and print the table."""
    options = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # so that the broker's container is removed
    counts = (Counts.quick if options.quick else Counts.full)(options.runs)
    figures: Figures = {}
    with (
        running_broker() as bootstrap,
        tempfile.TemporaryDirectory() as folder,
        with_data(BenchSession(bootstrap, Topics(bootstrap), Path(folder), counts)) as session,
    ):
        for module in (throughput, latency, startup):
            figures |= module.measure(
                session, lambda name: not options.only or any(word in name for word in options.only)
            )
    description = describe_session(
        counts, "a broker in a local container" if "localhost" in bootstrap else "a remote broker"
    )
    print("\n".join(lines(description, figures)))
    if not options.quick:
        print(f"\n{save(RESULTS, description, figures)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, to check that it works")
    parser.add_argument(
        "--only", nargs="+", metavar="WORD", help="measure only subjects with one of these words in their names"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each subject (3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
