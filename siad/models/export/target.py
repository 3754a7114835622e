"""Runtimes that an export is for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

SCRIPT: Final = "judge.py"


class ExportTarget(StrEnum):
    """Runtime that an export is for."""

    ONNX = "onnx"
    OPENVINO = "openvino"


RUNNERS: Final[Mapping[ExportTarget, str]] = {ExportTarget.ONNX: "onnxruntime", ExportTarget.OPENVINO: "openvino"}
