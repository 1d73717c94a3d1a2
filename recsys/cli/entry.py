"""``recsys``: the jobs without Airflow, and the published tables at the terminal.

Exit status: 0 done; 1 the input or a setting is wrong, or the gate refused the first model: running again will not
help; 2 wrong usage; 75 a passing fault of network or server, try again; 130 interrupted.
"""

import logging
import os
import sys

from recsys.errors import PermanentError, RecsysError, RefusedError
from recsys.redaction import RedactingFormatter

_QUIET = ("py4j", "alembic", "mlflow", "great_expectations", "httpx", "httpcore", "PIL", "botocore", "urllib3")
EXIT_PERMANENT, EXIT_TRANSIENT, EXIT_INTERRUPTED = 1, 75, 130


def main() -> None:
    """Entry point of the console script."""
    from recsys.cli.commands import app

    try:
        app()
    except RecsysError as error:
        fact = "No lists were made. " if isinstance(error, RefusedError) else ""
        sys.stderr.write(f"recsys: {fact}{error}\n")
        sys.exit(EXIT_PERMANENT if isinstance(error, PermanentError) else EXIT_TRANSIENT)
    except KeyboardInterrupt:
        sys.stderr.write("recsys: interrupted. What was published stands; run the same command again to go on.\n")
        sys.exit(EXIT_INTERRUPTED)


def log_to_terminal(*, verbose: bool) -> None:
    """Progress on standard error, so that standard output stays what was asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Silences log4j's start-up lines and netlib's search for a BLAS, which look like faults and are none.
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:-UsePerfData")
