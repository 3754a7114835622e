"""Masks and folders of any kind: read right, or refused and named."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siad.apps.lab.evaluate.folder_reader import read_folder
from siad.apps.lab.evaluate.mask_file import decode_annotation
from siad.apps.lab.evaluate.mask_marks import MaskError
from siad.vision.images import ImageError
from tests.fuzzing import fuzzed
from tests.unit.apps.lab.annotations import ENCODINGS, grey, lay, random_truth
from tests.unit.in_memory import folder_in_memory

WORDS = st.sampled_from(["", "_mask", "_Mask", ".mask", "-mask", "_label", "_LABEL", "_gt", "_GT", " mask", "_seg"])
ROOTS = st.sampled_from(["ground_truth", "Ground_Truth", "GroundTruth", "gt", "masks", "labels", "Mask"])
SUFFIX = st.sampled_from([".png", ".PNG", ".bmp", ".tif", ".jpg"])
STEMS = st.lists(
    st.sampled_from(["0", "000", "img.1", "Part0", "a b", "[x]", "ö", "caf\udce9", "line\n"]),
    min_size=1,
    max_size=4,
    unique=True,
)


@fuzzed
@given(name=st.sampled_from(sorted(ENCODINGS)), seed=st.integers(0, 2**32 - 1))
def test_any_mask_in_any_encoding_is_read_right_or_refused(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, encoding = random_truth(rng), ENCODINGS[name]
    data = encoding.encode(truth, rng)
    try:
        found = decode_annotation(data, truth.shape)
    except (MaskError, ImageError):
        assert encoding.is_refused or encoding.may_refuse
    else:
        assert not encoding.is_refused, found.style
        assert np.array_equal(found.mask_HW, grey(truth, 255)), found.style


@fuzzed
@given(
    stems=STEMS,
    names=st.tuples(ROOTS, WORDS, SUFFIX, SUFFIX),
    classes=st.lists(
        st.sampled_from(["crack", "Scratch 2", "[red]", "ko", "logical_anomalies"]), min_size=1, max_size=2, unique=True
    ),
    nested=st.booleans(),
    upper=st.booleans(),
    as_folders=st.booleans(),
    orphan=st.booleans(),
)
def test_every_file_of_any_layout_is_used_or_named(
    stems: list[str],
    names: tuple[str, str, str, str],
    classes: list[str],
    nested: bool,
    upper: bool,
    as_folders: bool,
    orphan: bool,
) -> None:
    masks, word, mask_suffix, suffix = names
    below = "lot/" if nested else ""
    expected: dict[str, str] = {}
    with folder_in_memory() as root:
        lay(root, "Train/OK/a.png", "test/Good/a.png")
        for kind in classes:
            for stem in stems:
                image = f"test/{kind}/{below}{stem}{suffix}"
                name = f"{stem}/000" if as_folders else f"{stem}{word}"
                mask = f"{masks}/{kind.upper() if upper else kind}/{below}{name}{mask_suffix}"
                expected[image] = mask
                lay(root, image, mask)
            if orphan:
                lay(root, f"{masks}/{kind}/none_mask.png")
        folder = read_folder(root)
        found = {
            str(sample.path.relative_to(root)): [str(path.relative_to(root)) for path in sample.mask_paths]
            for sample in folder.samples
        }
        assert found == {"test/Good/a.png": []} | {image: [mask] for image, mask in expected.items()}
        unused = {str(path.relative_to(root)) for path in folder.report.unused_masks}
        assert unused == ({f"{masks}/{kind}/none_mask.png" for kind in classes} if orphan else set())
        assert folder.report.skipped == {}
