"""Style sheet of the report page, for light and dark mode. Pure."""

from typing import Final

GOOD_INK: Final = "good"
ALL_INK: Final = "k0"
BAD_INK: Final = "bad"
# Distinct also with red-green colour blindness; for light and for dark background.
_INKS: Final = (
    ("#2667d8", "#6ea0ff"),  # blue
    ("#d9650b", "#ff9a4d"),  # orange
    ("#11875a", "#3fc58e"),  # green
    ("#a03cc0", "#d58af0"),  # purple
    ("#0a93a8", "#4fd3e6"),  # cyan
    ("#d02860", "#ff7aa2"),  # pink
    ("#857400", "#d3bf3c"),  # olive
    ("#8a5a3a", "#c99a78"),  # brown
)
_STYLE: Final = """
:root{color-scheme:light dark;--paper:#fafaf8;--card:#fff;--ink:#1e2024;--dim:#5c6066;--edge:#d8d8d2;
--good:#7d848d;--bad:#d1402f;--more:#2667d8;--right:#1a7f3f;--wrong:#c8321f}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1160px;margin:2em auto;
padding:0 1.2em}
h1{font-size:1.6em;margin:0;line-height:1.2}h2{font-size:1.15em;margin:2.2em 0 .6em}h3{font-size:.95em;margin:0 0 .4em}
p{color:var(--dim);margin:.3em 0}small{color:var(--dim);font-size:.9em;font-weight:400}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3em .6em;text-align:right}th:first-child,td:first-child{text-align:left;white-space:nowrap}
th{font-size:.85em;line-height:1.25;font-weight:600;vertical-align:bottom;border-bottom:2px solid var(--ink)}
td{border-bottom:1px solid var(--edge)}tr.all td{font-weight:600}
td[style]{background:linear-gradient(var(--c),var(--c)) no-repeat .6em 100%/calc((100% - 1.2em)*var(--v)) 3px}
td.more{--c:color-mix(in srgb,var(--more) 55%,transparent)}td.less{--c:color-mix(in srgb,var(--bad) 60%,transparent)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:1em}
.plot{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:.8em .9em;break-inside:avoid}
.plot svg{display:block;width:100%;font:11px system-ui,sans-serif;fill:var(--dim)}
.plot ul,.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1em 1em;margin:.4em 0 0;padding:0;font-size:.85em}
.plot li{white-space:nowrap}
i{display:inline-block;width:1.3em;margin-right:.45em;vertical-align:.25em;border-top:3px var(--s,solid) var(--c)}
i.k0{border-top-width:5px}i.good,i.bad{border-top-width:.7em;vertical-align:-.02em;opacity:.7}
.round{display:inline-block;width:.6em;height:.6em;margin-right:.45em;border-radius:50%;background:var(--dim)}
.frame{fill:none;stroke:var(--edge)}.grid{stroke:var(--edge);stroke-opacity:.6}.axis{fill:var(--ink)}
.line{fill:none;stroke:var(--c);stroke-width:1.6;stroke-dasharray:var(--d,none);stroke-linejoin:round}
.line.thick{stroke-width:4;stroke-linecap:round}.dot{fill:var(--c);stroke:var(--card);stroke-width:1.5}
.speck{fill:var(--c);fill-opacity:.6}.bar{fill:var(--c);fill-opacity:.5}
line.mark{stroke:var(--ink);stroke-dasharray:4 3}text.mark{fill:var(--ink);paint-order:stroke;stroke:var(--card);
stroke-width:4px}
.good{--c:var(--good)}.bad{--c:var(--bad)}.k0{--c:var(--ink)}
.legend{color:var(--dim);font-size:1em;margin:0 0 1em}.marked{--c:#ff503c}.truth{--c:#28c85a}
.tint{--c:#3c96ff}.tint i{border-top-width:.7em;vertical-align:-.02em;opacity:.6}
.wrong{color:var(--wrong)}.right{color:var(--right)}
figure{margin:0 0 1.8em;break-inside:avoid}figcaption{margin-bottom:.35em}
.cells{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.6em}
.cells img{width:100%;max-height:380px;object-fit:contain;object-position:left top}
"""
_NIGHT: Final = (
    "--paper:#16181c;--card:#1d2025;--ink:#e8e9eb;--dim:#a0a5ad;--edge:#363a42;--good:#9aa1ab;"
    "--bad:#ff7a66;--more:#6ea0ff;--right:#4cc07a;--wrong:#ff7a66"
)


def ink_of(index: int) -> str:
    """CSS class of the ``index``-th class of defects, from 0."""
    return f"k{index + 1}"


def style_of(kinds: int) -> str:
    """Style sheet for ``kinds`` classes of defects.

    Lines after the eighth are dashed.
    """
    day, night, lone = [], [], []
    for index in range(kinds):
        by_day, by_night = _INKS[index % len(_INKS)]
        is_dashed = ";--s:dashed;--d:5 3" if index >= len(_INKS) else ""
        day.append(f".{ink_of(index)}{{--c:{by_day}{is_dashed}}}")
        night.append(f".{ink_of(index)}{{--c:{by_night}}}")
    for ink in (ALL_INK, *(ink_of(index) for index in range(kinds))):  # hovering over one dims the others in every plot
        specks = "" if ink == ALL_INK else ",.speck"
        lone.append(f".plots:has(.{ink}:hover) :is(.line,.dot,li{specks}):not(.{ink},.good){{opacity:.15}}")
    return (
        f"{_STYLE}{''.join(day)}\n@media(prefers-color-scheme:dark){{:root{{{_NIGHT}}}{''.join(night)}}}\n"
        f"@media(hover:hover){{{''.join(lone)}}}\n"
    )
