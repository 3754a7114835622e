"""Rules of the chart with shorter times, so that a play takes minutes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE: Final = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])")
_KNOWN_STATE: Final = re.compile(r"(siad_inference_known_state_seconds\) > )(\d+)")


def shortened(rules: Mapping[str, Any], divisor: int) -> dict[str, Any]:
    """Divide every wait, window and offset, and the age of a known state that is too old.

    Limits of lag and latency stay, since they are no waits.
    """
    groups = [{**group, "rules": [_short(rule, divisor) for rule in group["rules"]]} for group in rules["groups"]]
    return {**rules, "groups": groups}


def write_rules(source: Path, target: Path, divisor: int) -> list[Path]:
    """Write every file of rules, shortened."""
    written = []
    for path in sorted(source.glob("*.yaml")):
        copy = target / path.name
        copy.write_text(yaml.safe_dump(shortened(yaml.safe_load(path.read_text()), divisor)))
        written.append(copy)
    return written


def _short(rule: Mapping[str, Any], divisor: int) -> dict[str, Any]:
    expression = _RANGE.sub(lambda found: _divided(found[1] or found[3], found[2] or found[4], divisor), rule["expr"])
    expression = _KNOWN_STATE.sub(lambda found: f"{found[1]}{int(found[2]) // divisor}", expression)
    wait = re.fullmatch(r"(\d+)([smhd])", rule.get("for", "0s"))
    assert wait is not None, f"a wait of {rule['for']!r} is not read"
    short = {**rule, "expr": expression}
    if "for" in rule:
        short["for"] = _divided(wait[1], wait[2], divisor)
    return short


def _divided(number: str, unit: str, divisor: int) -> str:
    return f"{max(int(number) * _SECONDS[unit] // divisor, 1)}s"
