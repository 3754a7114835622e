"""Every value of the Helm chart is documented and closed by the schema, and the committed value sets fit it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.architecture.imports import ROOT

CHART = ROOT / "charts/siad"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
OPEN = {"global"}  # Helm gives it to every chart


def undocumented(text: str) -> list[str]:
    """Keys of a values file with neither a `# --` comment above them nor documented keys below them."""
    found, lines = [], text.splitlines()
    for number, line in enumerate(lines):
        match = re.match(r"^( *)([A-Za-z]\w*):(.*)$", line)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2], match[3].strip()
        if _is_inside_documented(lines, number, indent) or (not value and _has_documented(lines[number + 1 :], indent)):
            continue
        if not _comment_above(lines, number).startswith("# -- "):
            found.append(key)
    return found


def _comment_above(lines: list[str], number: int) -> str:
    first = ""
    while number > 0 and (text := lines[number - 1].strip()).startswith("#"):
        first, number = text, number - 1
    return first


def _has_documented(below: list[str], indent: int) -> bool:
    for line in below:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            return False
        if line.strip().startswith("# -- "):
            return True
    return False


def _is_inside_documented(lines: list[str], number: int, indent: int) -> bool:
    """Whether a key is part of a value that is documented as a whole."""
    for above in range(number - 1, -1, -1):
        line = lines[above]
        depth = len(line) - len(line.lstrip())
        if line.strip() and not line.strip().startswith("#") and depth < indent:
            if _comment_above(lines, above).startswith("# -- "):
                return True
            indent = depth
    return False


def open_objects(schema: Any, path: str = "") -> Iterator[str]:
    """Paths of objects in the schema that take any key."""
    if isinstance(schema, dict):
        if (
            schema.get("type") == "object"
            and "properties" in schema
            and schema.get("additionalProperties") is not False
        ):
            yield path
        for key, value in schema.items():
            yield from open_objects(value, f"{path}/{key}")


def test_every_value_is_documented() -> None:
    assert undocumented((CHART / "values.yaml").read_text(encoding="utf-8")) == []


def test_a_value_without_a_comment_is_reported() -> None:
    text = "# -- Documented.\na: 1\nb: 2\nc:\n  # -- Documented.\n  d: {}\n  e: 3\n# -- As a whole.\nf:\n  g: {h: 1}\n"
    assert undocumented(text) == ["b", "e"]


def test_the_schema_is_closed() -> None:
    assert list(open_objects(SCHEMA)) == []
    assert list(open_objects({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}})) == [
        "",
        "/properties/a",
    ]


@pytest.mark.parametrize("path", sorted(CHART.glob("values*.yaml")), ids=lambda path: path.name)
def test_values_fit_the_schema(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")) | _complete(path), SCHEMA)


def _complete(path: Path) -> dict[str, Any]:
    """Helm adds the stages that a set of values leaves out."""
    stages = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("stages", {})
    return {"stages": {name: {} for name in SCHEMA["properties"]["stages"]["required"]} | stages}


def test_the_schema_has_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(values) == set(SCHEMA["properties"]) - OPEN
    assert set(values["stageDefaults"]) == set(SCHEMA["properties"]["stageDefaults"]["properties"])
