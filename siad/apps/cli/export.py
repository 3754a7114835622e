"""`siad export`: a folder that judges images without SIAD."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.audit.captures import require_line
from siad.audit.today import serving_weights
from siad.contracts import keys
from siad.contracts.documents import read_line
from siad.contracts.ids import require_slug
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.models.export.target import SCRIPT, ExportTarget
from siad.runtime.store.thresholds import stored_threshold_set
from siad.vision.threshold_in_use import threshold_in_use

console = Console()


def export(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Line whose weights in service are exported.")],
    to: Annotated[ExportTarget, typer.Option("--to", help="Runtime of the model.")],
    product: Annotated[
        str | None, typer.Option("--product", help="Product of the weights; default: what the line makes now.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New or empty folder; default: LINE-PRODUCT-RUNTIME here.")
    ] = None,
    data: options.Data = DATA,
) -> None:
    """Export the weights in service, for use without SIAD.

    Writes a folder with model, manifest.json, golden inputs, README.md and judge.py, which judges a folder of images
    with NumPy, OpenCV and ONNX Runtime or OpenVINO alone, and gives the verdicts of SIAD. Then it runs judge.py on the
    golden inputs. The threshold is the one in use now.
    """
    from siad.models.bundle import Bundle  # ONNX and runners take seconds to import, and `siad --help` needs none
    from siad.models.export.folder import export_files

    with reported_failures():
        require_slug("LINE", line)
        plant = connect(data)
        require_line(plant.blobs, line)
        settings = read_line(plant.blobs.get(keys.line_pointer_key(line)).data).settings
        place = Place(line, product or settings.product)
        require_slug("--product", place.product)
        folder = out or Path(f"{place.line}-{place.product}-{to.value}")
        _require_empty(folder)
        manifest, parts = serving_weights(plant.blobs, place)
        threshold = threshold_in_use(manifest, stored_threshold_set(plant.blobs, place, manifest.weights))
        files = export_files(Bundle(manifest, parts), threshold, sizes=SizeRule.of(settings.sizes), target=to)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _check(folder)
    size_mb = sum(map(len, files.values())) / 1e6
    console.print(
        f"{manifest.kind.value} {manifest.weights[:12]} of {place} is in {escape(str(folder))} ({size_mb:.1f} MB), and "
        f"gives its golden scores there. Judge images: python {escape(str(folder / SCRIPT))} FOLDER",
        highlight=False,
        soft_wrap=True,
    )


def _require_empty(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        msg = f"{folder} exists and is not an empty folder; nothing was written. Remove it, or name another with --out"
        raise FileExistsError(msg)


def _check(folder: Path) -> None:
    """Run the script on its golden inputs, apart from this process.

    Raises:
        RuntimeError: it fails; says how.
    """
    command = [sys.executable, "-I", str(folder / SCRIPT), str(folder / "golden")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        msg = f"{folder} was written, but its judge.py fails on the golden inputs: {last}. Do not use it"
        raise RuntimeError(msg)
