"""Ensemble of two teachers of different methods on one scale.

Each member k is fitted on two thirds of the normals and scored on the last third, which neither was fitted on; there
its map e_k is scaled by the median c_k and the .995 quantile q_k of all positions:

    score = mean_k (e_k - c_k) / (q_k - c_k)            on the finest of both grids; 1 is the rarest of a normal

A position that both find anomalous keeps its score, one that a single member finds gets half of it. It is the mean of
two experts (Kuncheva 2004, Combining pattern classifiers, chapter 5), which pays as far as their errors differ, so the
members should be of different kinds: the default combines nearest neighbours with a prediction.

``views`` gives both members' maps; where they differ, pixels of the pseudo-mask are marked to be ignored.
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
from siad.models.teachers.bundling import FittedDetector, make_bundle
from siad.models.teachers.network_training import held_out_scores, held_out_values, row_quantile, split_normals
from siad.models.teachers.normals import Normals
from siad.models.tensors import pack, unpack
from siad.models.tiling import run_tiled
from siad.vision.images import Image

METHOD: Final = ENSEMBLE
SCALES: Final = "scales.safetensors"
RECIPE: Final = "recipe.json"
MANIFEST: Final = "manifest.json"
NORMALS_MIN: Final = 6  # four to fit members on, which hold out some of them, and two to scale by
_QUANTILE: Final = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRecipe(JsonRecord):
    """Methods of the members."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    members: tuple[str, str] = (FEATURE_MEMORY, STUDENT_TEACHER)

    def __post_init__(self) -> None:
        """Raise ValueError unless the members are two methods, no ensembles."""
        first, second = (require_teacher(member) for member in self.members)
        if first == second or METHOD in self.members:
            msg = f"an ensemble of {first} and {second}; its members must be two different methods, none an ensemble"
            raise ValueError(msg)


class Ensemble:
    """Two detectors on one scale. Thread-safe where they are."""

    needs_whole_input = True  # its members run in tiles, as far as they allow it

    def __init__(self, members: Sequence[Detector], scales: Tensor) -> None:
        self._members, self._scales = members, scales

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every position: float32 [B, h, w], the mean of both views."""
        score_Bhw: Tensor = self.views(images_BCHW).mean(0)
        return score_Bhw

    def views(self, images_BCHW: Tensor) -> Tensor:
        """Score by each member on the common scale.

        float32 [2, B, h, w] on the finest of their grids.
        """
        maps = member_maps(self._members, images_BCHW)
        low_2, high_2 = self._scales.T
        views: Tensor = (torch.stack(maps) - low_2[:, None, None, None]) / (high_2 - low_2)[:, None, None, None]
        return views


def member_maps(members: Sequence[Detector], images_BCHW: Tensor) -> list[Tensor]:
    """Score by each member on its own scale.

    float32 [B, h, w], resized to the finest of their grids.
    """
    inputs_BCHW = images_BCHW.cpu().numpy()
    maps = [torch.from_numpy(run_tiled(TorchRunner(member), inputs_BCHW)).mean(1) for member in members]
    finest = max((map_Bhw.shape[1:] for map_Bhw in maps), key=lambda size: size[0] * size[1])
    return [
        map_Bhw
        if map_Bhw.shape[1:] == finest
        else functional.interpolate(map_Bhw[:, None], size=finest, mode="bilinear")[:, 0]
        for map_Bhw in maps
    ]


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> Ensemble:
    """Build the detector of a bundle's files."""
    assert manifest.method == METHOD
    names = EnsembleRecipe.from_json(parts[RECIPE]).members
    members = []
    for name in names:
        own = {part.removeprefix(f"{name}."): data for part, data in parts.items() if part.startswith(f"{name}.")}
        members.append(import_method(name).load(Manifest.from_json(own[MANIFEST]), own))
    return Ensemble(members, unpack(parts[SCALES])["scales"])


def fit(
    normals: Normals,
    *,
    false_reject_budget: float,
    recipe: EnsembleRecipe | None = None,
    recipes: Mapping[str, Any] | None = None,
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher.

    Args:
        normals: at least six.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: methods of the members; None for the default.
        recipes: the members' own, by method; a member without one has its default.
        input_px: side of the square with the area that images are brought to; 0: the first member's, for both.

    Raises:
        ValueError: too few normals.
    """
    normals.require(NORMALS_MIN)
    recipe = recipe or EnsembleRecipe()
    training, held_out = split_normals(normals)
    bundles: dict[str, Bundle] = {}
    for name in recipe.members:
        wanted: dict[str, Any] = {"recipe": recipes[name]} if recipes and name in recipes else {}
        if input_px:
            wanted["input_px"] = input_px
        bundles[name] = import_method(name).fit(training, false_reject_budget=false_reject_budget, **wanted)
        input_px = bundles[name].manifest.input_px
    members = [import_method(name).load(member.manifest, member.parts) for name, member in bundles.items()]
    scales = _scales(members, held_out.images, input_px=input_px)
    detector = Ensemble(members, scales)
    fitted = FittedDetector(
        method=METHOD,
        detector=detector,
        parts=_parts(bundles, recipe, scales),
        input_px=input_px,
        held_out=held_out_scores(detector, held_out.images, input_px=input_px),
        doubted=_members_outliers(bundles.values()),
    )
    return make_bundle(normals, fitted, false_reject_budget=false_reject_budget)


def _members_outliers(bundles: Iterable[Bundle]) -> tuple[str, ...]:
    """List normals that a member left out or doubted.

    The other learned them, so the ensemble did in part.
    """
    manifests = [bundle.manifest for bundle in bundles]
    return tuple(sorted({name for manifest in manifests for name in (*manifest.left_out, *manifest.doubted)}))


def _scales(members: Sequence[Detector], images: Sequence[Image], *, input_px: int) -> Tensor:
    """Compute each member's median and high quantile over held-out normals.

    float32 [2, 2].
    """

    def both(images_BCHW: Tensor) -> Tensor:
        return torch.stack([map_Bhw.flatten() for map_Bhw in member_maps(members, images_BCHW)])

    scores_2N = held_out_values(both, images, input_px=input_px)
    median_2, high_2 = row_quantile(scores_2N, 0.5), row_quantile(scores_2N, _QUANTILE)
    return torch.stack((median_2, torch.maximum(high_2, median_2 + 1e-6)), 1)


def _parts(bundles: Mapping[str, Bundle], recipe: EnsembleRecipe, scales: Tensor) -> dict[str, bytes]:
    """Collect the members' files under their names.

    Without their golden parts: the ensemble has its own.
    """
    parts = {RECIPE: recipe.to_json(), SCALES: pack({"scales": scales})}
    for name, bundle in bundles.items():
        parts[f"{name}.{MANIFEST}"] = bundle.manifest.to_json()
        parts |= {f"{name}.{part}": data for part, data in bundle.parts.items() if part != GOLDEN}
    return parts
