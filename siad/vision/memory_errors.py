"""Recognition of exhausted memory, which each library reports in its own way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from siad.contracts.errors import OutOfMemoryError

_OPENCV_NO_MEMORY: Final = -4  # cv::Error::StsNoMem
_MESSAGES: Final = (
    *("can't allocate memory", "out of memory", "alloc_failed", "bad_alloc", "failed to allocate"),
    *("memory allocation failure", "insufficient memory"),  # libjpeg-turbo
)


@contextmanager
def out_of_memory_named(work: str) -> Iterator[None]:
    """Raise ``OutOfMemoryError`` where memory runs out within the block.

    Other exceptions pass unchanged.

    Args:
        work: what the block does, for the message: "scoring 2 images".

    Raises:
        OutOfMemoryError: NumPy, OpenCV, torch or another native library could not allocate memory.
    """
    try:
        yield
    except Exception as error:  # OpenCV has a class of its own, and not every process loads OpenCV
        if not is_out_of_memory(error):
            raise
        msg = f"memory ran out while {work}; it is tried again. Allow the process more memory if this recurs: {error}"
        raise OutOfMemoryError(msg) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library means that memory ran out."""
    if isinstance(error, MemoryError) or getattr(error, "code", None) == _OPENCV_NO_MEMORY:
        return True
    return isinstance(error, RuntimeError) and is_out_of_memory_text(str(error))


def is_out_of_memory_text(text: str) -> bool:
    """Whether a library's message says that memory ran out."""
    return any(message in text.lower() for message in _MESSAGES)
