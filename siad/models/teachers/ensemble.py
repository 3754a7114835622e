"""Two teachers that differ look at one part; what both see weighs more than what one sees.

Each member k is fitted on two thirds of the normals and asked about the last third, which neither has seen; there its
map e_k is brought to one scale, by the middle c_k and the .995 quantile q_k of all places:

    score = mean_k (e_k - c_k) / (q_k - c_k)            on the finest of both grids, 1 is an odd place of a normal

A place that both call odd keeps its score, one that a single member calls odd gets half of it. It is the mean of two
experts (Kuncheva 2004, Combining pattern classifiers, chapter 5), which pays as far as their errors differ, so the
members should be of different kinds. The default asks what was remembered and what was predicted.

``views`` gives both members' own maps; where they differ, the pseudo-mask's pixels are to be ignored
(docs/adr/0013-pixels-to-ignore.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.manifest import Manifest
from siad.contracts.methods import ENSEMBLE, FEATURE_MEMORY, STUDENT_TEACHER, require_teacher
from siad.models.bundle import GOLDEN, Bundle
from siad.models.detector import Detector
from siad.models.method_modules import import_method
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.fitting import FittedDetector, finish, gather
from siad.models.teachers.learning import held_maps, held_scores, hold_out, row_quantile
from siad.models.tensors import pack, unpack
from siad.models.tiling import run_tiled
from siad.vision.images import Image

METHOD: Final = ENSEMBLE
SCALES: Final = "scales.safetensors"
RECIPE: Final = "recipe.json"
MANIFEST: Final = "manifest.json"
NORMALS_MIN: Final = 6  # four to fit members on, which hold out some of them themselves, and two to compare by
_QUANTILE: Final = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRecipe(JsonRecord):
    """Who looks."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    members: tuple[str, str] = (FEATURE_MEMORY, STUDENT_TEACHER)

    def __post_init__(self) -> None:
        """Refuse members that do not differ, or an ensemble within an ensemble."""
        one, other = (require_teacher(member) for member in self.members)
        if one == other or METHOD in self.members:
            msg = f"an ensemble of {one} and {other}; its members must be two different methods, none an ensemble"
            raise ValueError(msg)


class Ensemble:
    """Two detectors on one scale. Thread-safe where they are."""

    needs_whole_input = True  # its members are asked in tiles, those that must be

    def __init__(self, members: Sequence[Detector], scales: Tensor) -> None:
        self._members, self._scales = members, scales

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place: float32 [B, h, w], the mean of both views."""
        score_Bhw: Tensor = self.views(images_BCHW).mean(0)
        return score_Bhw

    def views(self, images_BCHW: Tensor) -> Tensor:
        """Each member's view on the common scale: float32 [2, B, h, w] on the finest of their grids."""
        maps = own_maps(self._members, images_BCHW)
        low_2, high_2 = self._scales.T
        views: Tensor = (torch.stack(maps) - low_2[:, None, None, None]) / (high_2 - low_2)[:, None, None, None]
        return views


def own_maps(members: Sequence[Detector], images_BCHW: Tensor) -> list[Tensor]:
    """Each member's own scores, float32 [B, h, w], brought to the finest of their grids."""
    inputs_BCHW = images_BCHW.cpu().numpy()
    maps = [torch.from_numpy(run_tiled(TorchRunner(member), inputs_BCHW)).mean(1) for member in members]
    finest = max((one.shape[1:] for one in maps), key=lambda size: size[0] * size[1])
    return [
        one if one.shape[1:] == finest else functional.interpolate(one[:, None], size=finest, mode="bilinear")[:, 0]
        for one in maps
    ]


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> Ensemble:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    names = EnsembleRecipe.from_json(parts[RECIPE]).members
    members = []
    for name in names:
        own = {part.removeprefix(f"{name}."): data for part, data in parts.items() if part.startswith(f"{name}.")}
        members.append(import_method(name).load(Manifest.from_json(own[MANIFEST]), own))
    return Ensemble(members, unpack(parts[SCALES])["scales"])


def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: EnsembleRecipe | None = None,
    recipes: Mapping[str, Any] | None = None,
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher on good images; the arguments are those of ``fitting.gather``, six normals at least.

    ``recipes`` are the members' own, by method; a member without one has its default. Both look at the same input, so
    without an ``input_px`` the second is shown images at the size that the first has.
    """
    found = gather(
        images,
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        at_least=NORMALS_MIN,
    )
    recipe = recipe or EnsembleRecipe()
    learn, held = hold_out(len(found))
    bundles: dict[str, Bundle] = {}
    for name in recipe.members:
        asked: dict[str, Any] = {"recipe": recipes[name]} if recipes and name in recipes else {}
        if input_px:
            asked["input_px"] = input_px
        bundles[name] = import_method(name).fit(
            [found.images[index] for index in learn],
            line=line,
            product=product,
            normals=[found.names[index] for index in learn],
            false_reject_budget=false_reject_budget,
            **asked,
        )
        input_px = bundles[name].manifest.input_px
    members = [import_method(name).load(made.manifest, made.parts) for name, made in bundles.items()]
    held_images = [found.images[index] for index in held]
    scales = _scales(members, held_images, input_px=input_px)
    detector = Ensemble(members, scales)
    fitted = FittedDetector(
        method=METHOD,
        detector=detector,
        parts=_parts(bundles, recipe, scales),
        input_px=input_px,
        held_out=held_scores(detector, held_images, input_px=input_px),
        doubted=_odd_to_any(bundles.values()),
    )
    return finish(found, fitted)


def _odd_to_any(bundles: Iterable[Bundle]) -> tuple[str, ...]:
    """Normals that a member left out or doubted; the others learned them, so the whole did in part."""
    return tuple(sorted({name for made in bundles for name in (*made.manifest.left_out, *made.manifest.doubted)}))


def _scales(members: Sequence[Detector], images: Sequence[Image], *, input_px: int) -> Tensor:
    """Middle and odd score of each member over held-out normals: float32 [2, 2]."""

    def both(images_BCHW: Tensor) -> Tensor:
        return torch.stack([one.flatten() for one in own_maps(members, images_BCHW)])

    places_2N = held_maps(both, images, input_px=input_px)
    middle_2, odd_2 = row_quantile(places_2N, 0.5), row_quantile(places_2N, _QUANTILE)
    return torch.stack((middle_2, torch.maximum(odd_2, middle_2 + 1e-6)), 1)


def _parts(bundles: Mapping[str, Bundle], recipe: EnsembleRecipe, scales: Tensor) -> dict[str, bytes]:
    """Members' files under their names; their golden outputs stay out, for the ensemble has its own."""
    parts = {RECIPE: recipe.to_json(), SCALES: pack({"scales": scales})}
    for name, made in bundles.items():
        parts[f"{name}.{MANIFEST}"] = made.manifest.to_json()
        parts |= {f"{name}.{part}": data for part, data in made.parts.items() if part != GOLDEN}
    return parts
