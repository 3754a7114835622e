"""The report that people look at: one HTML page that holds everything, curves and pictures too."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from siad.cli.evaluate.curves import curve_svg, histogram_svg
from siad.cli.evaluate.figures import Answer
from siad.cli.sheet import Row, draw_strip
from siad.core.pixel_scores import pixel_curves

FIGURES = (
    ("image_auroc", "image AUROC"),
    ("image_ap", "image AP"),
    ("image_f1max", "image F1max"),
    ("pixel_auroc", "pixel AUROC"),
    ("pixel_ap", "pixel AP"),
    ("pixel_f1max", "pixel F1max"),
    ("pixel_iou", "pixel IoU"),
    ("aupro_30", "AUPRO 0.3"),
    ("aupro_05", "AUPRO 0.05"),
    ("false_rejects", "false rejects"),
    ("misses", "misses"),
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1e2024;background:#fafaf8;max-width:1120px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:2em 0 .5em}p{color:#5c6066;margin:.3em 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.25em .6em;text-align:right}
th:first-child,td:first-child{text-align:left}th{font-weight:600;border-bottom:2px solid #1e2024}
tr:nth-child(even) td{background:#f0f0ec}tr.all td{font-weight:600}
.plots{display:flex;flex-wrap:wrap;gap:1em}svg{width:340px;font:11px system-ui,sans-serif;fill:#5c6066}
svg .title{font-size:13px;font-weight:600;fill:#1e2024}svg .frame{fill:#fff;stroke:#ccc}
svg .mark{stroke:#1e2024;stroke-dasharray:4 3}.wrong{color:#c83228;font-weight:600}.right{color:#1e8c46}
figure{margin:1em 0}figure img{width:100%;max-width:936px;border-radius:4px}figcaption{margin-bottom:.3em}
"""


def make_page(
    title: str,
    reports: Mapping[str, Mapping[str, Any]],
    answers: Sequence[Answer],
    rows: Sequence[Row],
    *,
    threshold: float,
    made_at: str,
) -> str:
    """Write the page.

    Args:
        title: of the set and the method.
        reports: by shots, what ``--json`` gives.
        answers: of one run, for the curves.
        rows: of the same run, in the order to be shown.
        threshold: of its images, raw score.
        made_at: date and machine, for people.
    """
    tables = "".join(_table(label, report) for label, report in reports.items())
    pictures = "".join(_picture(row) for row in rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>{escape(made_at)}</p>{tables}"
        f'<h2>Curves</h2><div class="plots">{"".join(_plots(answers, threshold))}</div>'
        "<h2>Images, the worst first</h2><p>The image; its score map; what was marked (red) and what is wrong (green)."
        f"</p>{pictures}</body></html>\n"
    )


def _table(label: str, report: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for _, title in FIGURES)
    lines = [_line("all", report, report["spread"], "all")]
    lines += [_line(kind, figures, {}, "") for kind, figures in report["classes"].items()]
    draws = "one draw" if report["seeds"] == 1 else f"mean of {report['seeds']} draws"
    times = (
        f"fit {report['fit_s']:.1f} s, {report['images_per_s']:.1f} images a second, {report['memory_mb']:.0f} MB of "
        f"memory at most, weights of {report['weights_mb']:.1f} MB; {draws} of normals"
    )
    told = "".join(f"<p>{escape(one)}</p>" for one in (report["promise"], report["doubts"]) if one)
    return (
        f"<h2>{escape(label)} normals</h2><table><tr><th></th>{head}</tr>{''.join(lines)}</table><p>{escape(times)}</p>"
        f"{told}"
    )


def _line(name: str, figures: Mapping[str, Any], spread: Mapping[str, Any], kind: str) -> str:
    cells = "".join(f"<td>{_told(figures[key], spread.get(key))}</td>" for key, _ in FIGURES)
    return f'<tr class="{kind}"><td>{escape(name)}</td>{cells}</tr>'


def _told(value: float | None, spread: float | None) -> str:
    if value is None:
        return "&ndash;"
    return f"{value:.3f}" + ("" if spread is None else f" <small>&plusmn;{spread:.3f}</small>")


def _plots(answers: Sequence[Answer], threshold: float) -> list[str]:
    groups = [
        (name, [answer.score for answer in answers if answer.is_defect is bad])
        for name, bad in (("good", False), ("defective", True))
    ]
    plots = [histogram_svg("Scores: good blue, defective red", [one for one in groups if one[1]], mark=threshold)]
    if all(scores for _, scores in groups):
        truth, scores = [answer.is_defect for answer in answers], [answer.score for answer in answers]
        false, true, _ = roc_curve(truth, scores)
        precision, recall, _ = precision_recall_curve(truth, scores)
        roc = list(zip(false.tolist(), true.tolist(), strict=True))
        trade = list(zip(recall.tolist(), precision.tolist(), strict=True))[::-1]
        plots.append(curve_svg("Images: ROC", ("good ones rejected", "defective ones found"), [("all", roc)]))
        plots.append(curve_svg("Images: precision and recall", ("recall", "precision"), [("all", trade)]))
    drawn = [(answer.map_HW, answer.mask_HW) for answer in answers if answer.mask_HW is not None]
    if any(mask_HW.any() for _, mask_HW in drawn):
        curves = pixel_curves([map_HW for map_HW, _ in drawn], [mask_HW for _, mask_HW in drawn])
        trade = list(zip(curves.recall_N.tolist(), curves.precision_N.tolist(), strict=True))
        overlap = [(0.0, 0.0), *zip(curves.false_rate_N.tolist(), curves.overlap_N.tolist(), strict=True)]
        plots.append(curve_svg("Pixels: precision and recall", ("recall", "precision"), [("all", trade)]))
        axes = ("good pixels marked", "mean overlap of a region")
        plots.append(curve_svg("Pixels: per-region overlap", axes, [("all", overlap)], x_max=0.3))
    return plots


def _picture(row: Row) -> str:
    is_right = row.verdict in ("found", "passed")
    said = (
        f'<span class="{"right" if is_right else "wrong"}">{row.verdict}</span> {escape(row.name)} &middot; score '
        f"{row.score:.3g}, threshold {row.threshold:.3g}"
    )
    picture = f'<img alt="{escape(row.name)}" src="data:image/jpeg;base64,{_jpeg(draw_strip(row))}">'
    return f"<figure><figcaption>{said}</figcaption>{picture}</figure>"


def _jpeg(picture_HWC: NDArray[np.uint8]) -> str:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture_HWC, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return base64.b64encode(bytes(data)).decode()
