"""Software bill of materials of a folder of Python packages.

    python sbom.py /opt/venv/lib/python3.11/site-packages > sbom.cdx.json

Writes CycloneDX 1.6 as JSON. Runs while an image is built, on the standard library alone. The packages of the base
image are not in it: its own bill lists them.
"""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import Any


def bill_of(folder: str) -> dict[str, Any]:
    """Bill of every distribution in ``folder``: name, version and licenses."""
    found = sorted(distributions(path=[folder]), key=_name)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [_component(one) for one in found],
    }


def _component(one: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{_name(one)}@{one.version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": _name(one),
        "version": one.version,
        "purl": purl,
    }
    if licenses := list(_licenses(one)):
        component["licenses"] = licenses
    return component


def _name(one: Distribution) -> str:
    return str(one.metadata["Name"]).lower().replace("_", "-").replace(".", "-")


def _licenses(one: Distribution) -> Iterator[dict[str, Any]]:
    """License expression of a distribution, else those of its classifiers."""
    if expression := one.metadata.get("License-Expression"):
        yield {"expression": expression}
        return
    for classifier in one.metadata.get_all("Classifier") or ():
        if classifier.startswith("License :: ") and not classifier.endswith("OSI Approved"):
            yield {"license": {"name": classifier.rpartition(" :: ")[2]}}


if __name__ == "__main__":
    json.dump(bill_of(sys.argv[1]), sys.stdout, indent=1)
