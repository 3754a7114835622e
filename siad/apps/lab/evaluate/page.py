"""The report as one self-contained HTML page: tables, curves and pictures."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.evaluate.curves import swatch
from siad.apps.lab.evaluate.plots import PlottedRun, plots_of
from siad.apps.lab.evaluate.style import ALL_INK, ink_of, style_of
from siad.apps.lab.sheet import draw_cells
from siad.apps.lab.sheet_rows import SheetRow

FIGURES = (
    ("image_auroc", "image AUROC"),
    ("image_ap", "image AP"),
    ("image_f1max", "image F1max"),
    ("pixel_auroc", "pixel AUROC"),
    ("pixel_ap", "pixel AP"),
    ("pixel_f1max", "pixel F1max"),
    ("pixel_iou", "IoU of marks"),
    ("pixel_iou_best", "IoU of best cut"),
    ("aupro_30", "AUPRO 0.3"),
    ("aupro_05", "AUPRO 0.05"),
    ("false_rejects", "false rejects"),
    ("misses", "misses"),
    ("misses_at_quantile", "misses at true quantile"),
)
PICTURE_PX = 420  # longer side; three fill the page's width
_BETTER_LOW = ("false_rejects", "misses", "misses_at_quantile")
_CELLS = ("the image", "its score map", "outlines of marked and defective pixels", "the whole image")


def make_page(
    title: str, reports: Mapping[str, Mapping[str, Any]], run: PlottedRun, rows: Sequence[SheetRow], *, origin: str
) -> str:
    """Write the page.

    Args:
        title: names of the set and the method.
        reports: by number of normals, as ``--json`` prints them; the first belongs to ``run``.
        run: for the curves.
        rows: of the same run, in their order on the page.
        origin: date and machine.
    """
    inks = {kind: ink_of(index) for index, kind in enumerate(run.by_kind)}
    tables = "".join(_table(label, report, inks) for label, report in reports.items())
    pictures = "".join(_picture(row) for row in rows)
    tint = '<li class="tint"><i></i>ignored: its views differ, not used for training</li>'
    first = f"{next(iter(reports))} normals, the first draw"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style_of(len(inks))}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>{escape(origin)}</p>{tables}"
        f"<h2>Curves <small>{escape(first)}; a class: its defective images against all good ones</small></h2>"
        f'<div class="plots">{"".join(plots_of(run))}</div>'
        f"<h2>Images, the worst first <small>{escape(first)}</small></h2>"
        '<ul class="legend"><li>The image, or a part of it where the finding is small; its score map, bright where it '
        "is unusual; outlines of</li>"
        '<li class="marked"><i></i>pixels marked as defective</li><li class="truth"><i></i>defective pixels</li>'
        f"{tint if any(row.has_ignored for row in rows) else ''}</ul>{pictures}</body></html>\n"
    )


def _table(label: str, report: Mapping[str, Any], inks: Mapping[str, str]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for _, title in FIGURES)
    lines = [_line("all", report, report["spread"], ALL_INK)]
    lines += [_line(kind, figures, {}, inks[kind]) for kind, figures in report["classes"].items()]
    draws = "one draw" if report["seeds"] == 1 else f"mean of {report['seeds']} draws"
    times = (
        f"fit {report['fit_s']:.1f} s, {report['images_per_s']:.1f} images per second, peak memory "
        f"{report['memory_mb']:.0f} MB, weights {report['weights_mb']:.1f} MB; {draws} of normals"
    )
    notes = "".join(f"<p>{escape(one)}</p>" for one in (report["promise"], *report["doubts"]) if one)
    decision = f"<p><b>{escape(report['decision']['text'])}</b></p>"
    table = f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"
    return f'<h2>{escape(label)} normals</h2>{decision}<div class="wide">{table}</div><p>{escape(times)}</p>{notes}'


def _line(name: str, figures: Mapping[str, Any], spread: Mapping[str, Any], ink: str) -> str:
    cells = "".join(_cell(key, figures[key], spread.get(key)) for key, _ in FIGURES)
    whole = ' class="all"' if ink == ALL_INK else ""
    return f"<tr{whole}><td>{swatch(ink)}{escape(name)}</td>{cells}</tr>"


def _cell(key: str, value: float | None, spread: float | None) -> str:
    """A figure over a bar of its length.

    The bar is red if a lower figure is better.
    """
    if value is None:
        return "<td>&ndash;</td>"
    kind = "less" if key in _BETTER_LOW else "more"
    deviation = "" if spread is None else f" <small>&plusmn;{spread:.3f}</small>"
    return f'<td class="{kind}" style="--v:{value:.3f}">{value:.3f}{deviation}</td>'


def _picture(row: SheetRow) -> str:
    is_right = row.verdict in ("found", "passed")
    caption = (
        f'<b class="{"right" if is_right else "wrong"}">{row.verdict}</b> {escape(row.name)} <small>score '
        f"{row.score:.3g}, threshold {row.threshold:.3g}</small>"
    )
    cells = "".join(
        f'<img alt="{escape(row.name)}: {content}" src="data:image/jpeg;base64,{_jpeg(picture_HWC)}">'
        for content, picture_HWC in zip(_CELLS, draw_cells(row, side_px=PICTURE_PX), strict=False)
    )
    return f'<figure><figcaption>{caption}</figcaption><div class="cells">{cells}</div></figure>'


def _jpeg(picture_HWC: NDArray[np.uint8]) -> str:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture_HWC, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return base64.b64encode(bytes(data)).decode()
