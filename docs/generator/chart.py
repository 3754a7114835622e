"""Settings in the schema of the Helm chart's values.

Helm refuses a wrong one before anything is installed.
Everything else in ``charts/siad/values.schema.json`` is written by hand.
"""

import json
from pathlib import Path
from typing import Any, Final

from docs.generator.settings import STAGES, comments_of, settings_classes
from docs.generator.table import sentence
from siad.runtime.settings import Settings, StageSettings

SCHEMA: Final = Path(__file__).resolve().parents[2] / "charts/siad/values.schema.json"
# Definition of the schema -> module of its settings.
MODULES: Final = {
    "kafkaSettings": "siad.runtime.bus.settings",
    "storeSettings": "siad.runtime.blobs.settings",
    **{f"{stage}Settings": f"services.{stage}.settings" for stage in STAGES},
}
# Settings that the chart makes from other values, or fixes.
FIXED: Final = frozenset(
    (
        "access_key",
        "allow_remote",
        "bootstrap",
        "bucket",
        "create_bucket",
        "endpoint_url",
        "http_host",
        "http_port",
        "rayjob_owner",
        "rayjob_prefix",
        "rayjob_template",
        "sasl_mechanism",
        "sasl_password_file",
        "sasl_user",
        "scorer_port",
        "scorer_url",
        "secret_key",
        "security_protocol",
        "tls_ca_file",
        "tls_cert_file",
        "tls_key_file",
    )
)
KEPT: Final = ("type", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength", "pattern", "enum")


def values_schema() -> str:
    """The text of the schema, with the definitions of today's settings."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for name, module in MODULES.items():
        (settings,) = settings_classes(module)
        schema["$defs"][name] = _definition(settings)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _definition(settings: type[Settings]) -> dict[str, Any]:
    comments = comments_of(StageSettings) | comments_of(settings)
    found = settings.model_json_schema()["properties"]
    properties = {
        name: {"description": sentence(comments.get(name, "")), **_rules(rules)}
        for name, rules in found.items()
        if name not in FIXED
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _rules(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules of one setting, also of an optional one."""
    value = next((one for one in rules.get("anyOf", ()) if one.get("type") != "null"), rules)
    return {name: value[name] for name in KEPT if name in value}
