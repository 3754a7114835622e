"""Speed of decoding ordinary images, next to OpenCV in one run.

    python -m benchmarks.decoding             # 640x480, 1280x1024 and 2448x2048 px
    python -m benchmarks.decoding --rounds 50

The ratio is the median processor time of ``cv2.imdecode`` over that of ``decode_image``, which also parses the file
and verifies its checksums: above 1, ``decode_image`` is faster. Both decode the same bytes in turn, and their pixels
must be equal. The images imitate photographs: soft shapes with the noise of a sensor.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import decode_image

SIZES_PX: Final = ((640, 480), (1280, 1024), (2448, 2048))
CODINGS: Final[dict[str, tuple[str, list[int]]]] = {
    "JPEG": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 90]),
    "JPEG, progressive": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "PNG": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    "BMP": (".bmp", []),
}


def photograph(size_px: tuple[int, int], channels: int, dtype: type) -> NDArray[Any]:
    """A soft picture with noise: [H, W, C], as OpenCV writes it."""
    width, height = size_px
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    planes = [
        120 + 60 * np.sin(columns / (50 + 9 * place)) + 40 * np.cos(rows / 70) + generator.normal(0, 3, rows.shape)
        for place in range(channels)
    ]
    scale = 257 if dtype is np.uint16 else 1
    return (np.stack(planes, axis=2).clip(0, 255) * scale).astype(dtype)


def decode_with_opencv(data: bytes, channels: int) -> NDArray[Any]:
    """Decode as it was done before every file was checked."""
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    flags = colour | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    image: NDArray[Any] = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    return image.reshape(*image.shape[:2], channels)


def medians_ms(rounds: int, *functions: Callable[[], object]) -> list[float]:
    """Median time of each function, called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, seconds in zip(functions, times, strict=True):
            began = time.thread_time()
            function()
            seconds.append(time.thread_time() - began)
    return [1000 * statistics.median(seconds) for seconds in times]


def main() -> None:
    """Print one line for each coding, size and colour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    print(f"{'file':<22}{'px':>11}{'samples':>9}{'OpenCV ms':>11}{'SIAD ms':>9}{'ratio':>7}")
    for name, (extension, options) in CODINGS.items():
        for size in SIZES_PX:
            for channels, dtype in ((1, np.uint8), (3, np.uint8), (1, np.uint16)):
                if dtype is np.uint16 and name != "PNG":
                    continue
                data = cv2.imencode(extension, photograph(size, channels, dtype), options)[1].tobytes()
                before, now = decode_with_opencv(data, channels), decode_image(data)
                assert np.array_equal(before, now), f"{name} of {size}: pixels differ"
                opencv, ours = partial(decode_with_opencv, data, channels), partial(decode_image, data)
                old_ms, new_ms = medians_ms(rounds, opencv, ours)
                shown = f"{channels}x{8 * np.dtype(dtype).itemsize}"
                px = f"{size[0]}x{size[1]}"
                print(f"{name:<22}{px:>11}{shown:>9}{old_ms:>11.2f}{new_ms:>9.2f}{old_ms / new_ms:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
