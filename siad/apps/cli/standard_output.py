"""Results on standard output."""

import json
import os
import sys
from typing import Any

from siad.apps.files import reason_of
from siad.apps.output_file import OutputError


def print_json(value: Any) -> None:
    """Print a result as JSON, and make sure that it arrived.

    Raises:
        OutputError: standard output is closed or full.
    """
    try:
        print(json.dumps(value, indent=2))
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # else Python repeats the failure when it ends
        os.dup2(nowhere, sys.stdout.fileno())
        msg = f"standard output can't be written: {reason_of(error)}. Write the result to another place"
        raise OutputError(msg) from error
