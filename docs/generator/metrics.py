"""Metrics: every collector that a ``metrics.py`` of the product declares."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics import Counter, Histogram, MetricWrapperBase

from docs.generator.table import code, codes, sentence, table

ROOT: Final = Path(__file__).resolve().parents[2]
EXPORTED_BY: Final = {"siad.runtime.metrics": "every stage", "siad.erasure.metrics": "ingest"}


def metrics_chapter() -> str:
    """Every metric, by the process that exports it."""
    head = (
        "Each stage exports its own metrics and those of every stage at `/metrics`. A histogram has the series "
        "`<name>_bucket`, `<name>_sum` and `<name>_count`."
    )
    parts, last = [head], ""
    for exported, module in sorted((_exporter(module), module) for module in _modules()):
        rows = [(code(_name(one)), str(one._type), codes(one._labelnames), _help(one)) for one in collectors(module)]  # noqa: SLF001
        if exported != last:
            parts.append(f"### Exported by {exported}")
            last = exported
        parts += [f"From `{module.replace('.', '/')}.py`.", table(("name", "type", "labels", "meaning"), rows)]
    return "\n\n".join(parts)


def _modules() -> list[str]:
    paths = [*(ROOT / "siad").rglob("metrics.py"), *(ROOT / "services").rglob("metrics.py")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


def _exporter(module: str) -> str:
    return EXPORTED_BY.get(module) or module.split(".")[1]


def collectors(module: str) -> Iterator[MetricWrapperBase]:
    """The collectors that a module declares, in its order."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def _name(one: MetricWrapperBase) -> str:
    return f"{one._name}_total" if isinstance(one, Counter) else str(one._name)  # noqa: SLF001


def _help(one: MetricWrapperBase) -> str:
    text = sentence(one._documentation)  # noqa: SLF001
    if isinstance(one, Histogram):
        bounds = [bound for bound in one._upper_bounds if bound != float("inf")]  # noqa: SLF001
        text += f" Buckets: {', '.join(f'{bound:.10g}' for bound in bounds)}."
    return text
