"""Exit statuses of commands that work on many files.

0: all files were done. 1: the command failed, none was done, or ingest refused some. 2: wrong usage. 3: some files were
skipped because they can't be read, each named on standard error; the others were done.
"""

from typing import Final

FAILED: Final = 1
SOME_SKIPPED: Final = 3
