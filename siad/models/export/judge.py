"""Judge a folder of images with the model beside this script.

``python judge.py FOLDER``; see README.md. For each image it prints the name, pass, reject or unknown, and the score, or
why it is unknown.
"""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Array = Any  # of NumPy
HERE = Path(__file__).parent
MANIFEST = json.loads((HERE / "manifest.json").read_text())
EXTENSIONS = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def open_model() -> Callable[[Array], Array]:
    """Open the model.

    It maps float32 [1, h, w, 3], RGB from 0 to 255, to raw scores [h', w'].
    """
    if MANIFEST["runtime"] == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(None, {"pixels": pixels})[0][0]
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # else the import reports to its maker
    import openvino

    model = openvino.compile_model(str(HERE / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: model(pixels)[0][0]


def misfit(image: Array) -> str:
    """Say why an image is unlike the normals, or nothing."""
    if (normals := MANIFEST["profile"]) is None:
        return ""
    height, width = image.shape[:2]
    sides, bits = ((width, normals["widths_px"]), (height, normals["heights_px"])), 8 * image.dtype.itemsize
    if MANIFEST["sizes"] == "normals":
        is_one_size = all(most <= least * 1.02 for _, (least, most) in sides)
        low, high = (0.98, 1.02) if is_one_size else (0.5, 2.0)
        fits = all(least * low <= side <= most * high for side, (least, most) in sides)
        aspects = normals["aspects"]
        if not fits or (is_one_size and not aspects[0] * low <= width / height <= aspects[1] * high):
            return "size"
    if bits not in normals["containers"] or (bits == 16 and image.max() >= 1 << normals["bits"]):
        return "depth"
    if normals["has_grey"] and normals["has_colour"]:
        return ""
    full = at_full_range(image)
    chroma = 0.0 if image.ndim == 2 else float((full.max(2) - full.min(2)).max()) * 255 / np.iinfo(full.dtype).max
    if normals["has_grey"]:
        return "channels" if chroma > 2 else ""
    return "channels" if image.ndim == 2 or (normals["chroma"] > 16 and chroma <= 2) else ""


def at_full_range(image: Array) -> Array:
    """Scale samples of 16-bit files by the depth of the camera."""
    bits = MANIFEST["bits"]
    if image.dtype != np.uint16 or bits in (0, 16):
        return image
    white = (1 << bits) - 1
    return np.rint(np.minimum(image, white) * (65535 / white)).astype(np.uint16)


def score(run: Callable[[Array], Array], image: Array) -> float:
    """Score one image; it is a reject from the image threshold on."""
    full, inside, size = at_full_range(image), None, image.shape[:2]
    if points := MANIFEST["region"]:
        xs, ys = np.array(points[0::2]) * size[1], np.array(points[1::2]) * size[0]
        left, top = min(math.floor(xs.min()), size[1] - 1), min(math.floor(ys.min()), size[0] - 1)
        right, bottom = max(math.ceil(xs.max()), left + 1), max(math.ceil(ys.max()), top + 1)
        canvas = np.zeros(size, np.uint8)
        cv2.fillPoly(canvas, [np.rint((np.stack([xs, ys], 1) - 0.5) * 16).astype(np.int32)], 1, shift=4)
        inside = canvas[top:bottom, left:right] > 0 if canvas.any() else np.ones((bottom - top, right - left), bool)
        full = full[top:bottom, left:right].copy()
        full[~inside] = (int(np.iinfo(full.dtype).max) + 1) // 2
    height, width = full.shape[:2]
    ratio = MANIFEST["input_px"] / math.sqrt(height * width)
    h, w = (max(32, round(side * ratio / 32) * 32) for side in (height, width))
    kernel = cv2.INTER_AREA if h * w < height * width else cv2.INTER_LINEAR
    small = cv2.resize(full, (w, h), interpolation=kernel).astype(np.float32)
    small *= 255 / 65535 if full.dtype == np.uint16 else 1
    pixels = np.repeat(small[..., None], 3, 2) if small.ndim == 2 else small[..., ::-1]
    large = cv2.resize(run(np.ascontiguousarray(pixels[None])), (w, h), interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(large, (0, 0), 3 / 256 * min(math.sqrt(h * w), 512), borderType=cv2.BORDER_REPLICATE)
    scores = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return float(scores.max() if inside is None else scores[inside].max())


def read(path: Path) -> Array | None:
    """Decode an image upright: [H, W], or [H, W, 3] in BGR."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH) if data.size else None


def main(folder: Path) -> None:
    """Check the golden inputs, then judge every image of a folder."""
    run, threshold = open_model(), MANIFEST["image_threshold"]
    for golden in MANIFEST["golden"]:
        given = score(run, read(HERE / golden["file"]))
        allowed = MANIFEST["tolerance"] * max(abs(golden["score"]), abs(threshold))
        if not abs(given - golden["score"]) <= allowed:  # so that NaN is refused
            sys.exit(f"{golden['file']} scores {given:.6g} here, {golden['score']:.6g} where it was exported: not used")
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS):
        image = read(path)
        if image is None or (reason := misfit(image)):
            print(f"{path.name}\tunknown\t{'undecodable' if image is None else reason}")
        else:
            given = score(run, image)
            print(f"{path.name}\t{'reject' if given >= threshold else 'pass'}\t{given:.6g}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python judge.py FOLDER")
    main(Path(sys.argv[1]))
