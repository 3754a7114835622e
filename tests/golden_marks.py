"""Writer of ``web/tests/golden/marks.json``: ``python -m tests.golden_marks``.

The file holds what the rules of ``siad/vision/mask_objects.py`` draw; pytest and vitest compare both sides with it.
"""

import json
import random
from pathlib import Path
from typing import Any, Final

import numpy as np

from siad.vision.mask_objects import (
    draw_stroke,
    fill_ellipse,
    fill_holes,
    fill_polygon,
    runs_of,
    smooth,
    split_components,
)

FILE: Final = Path(__file__).parents[1] / "web" / "tests" / "golden" / "marks.json"
WIDTH, HEIGHT = 61, 47
SIZE = (HEIGHT, WIDTH)
MASK_SIZE = (31, 37)


def make_cases() -> dict[str, Any]:
    """Draw every case: the edges of each rule, then random ones of a fixed seed."""
    draw = random.Random(5)
    strokes = [(width, [(41, 41) if width % 2 else (40, 40)]) for width in (1, 2, 3, 4, 5, 6, 9, 16, 25)]
    strokes += [(1, [(1, 1)]), (1, [(2 * WIDTH - 1, 2 * HEIGHT - 1)]), (8, [(-40, 20), (-30, 20)])]
    for _ in range(40):
        diameter = draw.choice((1, 2, 3, 5, 8, 13, 21, 40))
        points = [
            (2 * draw.randint(-5, WIDTH + 5) + diameter % 2, 2 * draw.randint(-5, HEIGHT + 5) + diameter % 2)
            for _ in range(draw.randint(1, 6))
        ]
        strokes.append((diameter, points))
    polygons = [
        [(10, 10), (50, 10), (50, 50), (10, 50)],
        [(11, 11), (51, 11), (51, 51), (11, 51)],
        [(20, 4), (100, 80), (4, 40)],
        [(20, 20), (80, 80), (20, 80), (80, 20)],
        [(-20, -20), (200, -20), (200, 200), (-20, 200)],
        [(30, 30), (30, 30), (30, 30)],
    ]
    for _ in range(40):
        corners = draw.randint(3, 9)
        polygons.append(
            [(draw.randint(-10, 2 * WIDTH + 10), draw.randint(-10, 2 * HEIGHT + 10)) for _ in range(corners)]
        )
    ellipses = [
        ((10, 10), (50, 40)),
        ((11, 11), (12, 60)),
        ((30, 30), (30, 60)),
        ((40, 20), (41, 21)),
        ((-30, -30), (90, 60)),
    ]
    for _ in range(40):
        ends = [(draw.randint(-20, 2 * WIDTH + 20), draw.randint(-20, 2 * HEIGHT + 20)) for _ in range(2)]
        ellipses.append((ends[0], ends[1]))
    noise = np.random.default_rng(3)
    masks = [noise.random(MASK_SIZE) < ratio for ratio in (0, 0.02, 0.2, 0.4, 0.55, 0.8, 1)]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "strokes": [
            {
                "diameter": diameter,
                "points": points,
                "runs": runs_of(draw_stroke(points, diameter_px=diameter, size=SIZE)),
            }
            for diameter, points in strokes
        ],
        "polygons": [{"points": points, "runs": runs_of(fill_polygon(points, size=SIZE))} for points in polygons],
        "ellipses": [{"corners": corners, "runs": runs_of(fill_ellipse(*corners, size=SIZE))} for corners in ellipses],
        "mask_width": MASK_SIZE[1],
        "mask_height": MASK_SIZE[0],
        "masks": [
            {
                "runs": runs_of(mask),
                "components": [runs_of(part) for part in split_components(mask)],
                "filled": runs_of(fill_holes(mask)),
                "smoothed": runs_of(smooth(mask)),
            }
            for mask in masks
        ],
    }


def main() -> None:
    """Write the file, one case a line."""
    parts = []
    for name, value in make_cases().items():
        if isinstance(value, list):
            cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in value)
            parts.append(f'"{name}": [\n{cases}\n]')
        else:
            parts.append(f'"{name}": {value}')
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
