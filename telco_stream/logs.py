"""One line on stderr for each event worth knowing; ids and coordinates, never a customer's values or a secret."""

import logging
import sys


def configure(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send the package's log to stderr: warnings only if quiet, everything if verbose."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    log = logging.getLogger("telco_stream")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    # The client repeats itself while a broker is away; what it means is said once by whoever waits.
    logging.getLogger("telco_stream.kafka.client").setLevel(logging.DEBUG if verbose else logging.CRITICAL)
