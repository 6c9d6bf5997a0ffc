"""Standard output that no library writes into."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def claim_standard_output() -> TextIO:
    """Keep standard output for the lines of this program alone.

    What libraries and child processes print to it goes to standard error from now on: Ray reports a
    lost node from a thread, in the middle of a line of ours.

    Returns:
        The former standard output, which writes whole lines at once.
    """
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return own
