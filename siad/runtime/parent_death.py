"""Children that end with their parent, even when the parent is killed."""

import ctypes
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel signal this process when its parent dies (Linux).

    Pass it as ``preexec_fn``, bound to the signal: it runs in the child before its program. On Linux the parent is the
    thread that started the child.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
