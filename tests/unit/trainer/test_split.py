"""Related captures on one side of a split, and replay of older and rarer ones."""

import random
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.replay import choose_replayed
from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingSet
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.split import NEAR_BITS_MAX, SplitSubject, leave_out, split_names
from siad.vision.image_hash import HEX_DIGITS, image_hash
from tests.unit.trainer.test_corrections import corrected, correction
from tests.unit.trainer.test_training_set import POLICY, name, normals, row, rows


def frozen(given: list[LedgerRow], *, corrections: tuple[int, ...] = ()) -> TrainingSet:
    said = corrected(*(correction(number, CorrectionVerdict.GOOD) for number in corrections))
    chosen = freeze(given, normals(), said, teachers=["t1"], policy=POLICY)
    assert isinstance(chosen, TrainingSet), chosen
    return chosen


def difference(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_captures_of_one_part_are_on_one_side() -> None:
    given = [replace(one, serial=f"part {number // 3}") for number, one in enumerate(rows(600))]
    serial = {one.capture_id: one.serial for one in given}
    sides: dict[str, set[bool]] = defaultdict(set)
    for member in frozen(given).members:
        if member.capture_id in serial:
            sides[serial[member.capture_id]].add(member.use is MemberUse.TRAIN)
    assert all(len(found) == 1 for found in sides.values())
    assert {True} in sides.values()
    assert {False} in sides.values()


def test_one_serial_for_all_captures_is_no_part() -> None:
    assert set(split_names({f"{n}": "batch 7" for n in range(21)}).values()) == {f"{n}" for n in range(21)}
    assert set(split_names({f"{n}": "part 7" for n in range(20)}).values()) == {"part 7"}
    assert frozen([replace(one, serial="batch 7") for one in rows()]) == frozen(rows())


def test_near_duplicates_are_never_on_both_sides() -> None:
    shots = random.Random(0)
    given = []
    for number, one in enumerate(rows(600)):
        if number % 2 == 0:
            bits = shots.getrandbits(256)
        given.append(replace(one, image_hash=f"{bits ^ (1 << shots.randrange(256)):0{HEX_DIGITS}x}"))
    hashes = {one.capture_id: one.image_hash for one in given}
    members = [member for member in frozen(given).members if member.capture_id in hashes]
    train = [hashes[one.capture_id] for one in members if one.use is MemberUse.TRAIN]
    held_out = [hashes[one.capture_id] for one in members if one.use is not MemberUse.TRAIN]
    assert min(difference(one, other) for one in train for other in held_out) > NEAR_BITS_MAX
    before = [replace(one, image_hash="") for one in given]
    assert len(members) < len([one for one in frozen(before).members if one.capture_id in hashes])


def subject(capture: str, *, held_out: bool, rank: int = 0, serial: str = "") -> SplitSubject:
    return SplitSubject(capture_id=capture, serial=serial, image_hash="0" * HEX_DIGITS, is_held_out=held_out, rank=rank)


@pytest.mark.parametrize(("train_rank", "gone"), [(0, "train"), (1, "train"), (2, "held-out")])
def test_of_a_pair_the_lower_rank_is_left_out_and_else_the_one_for_training(train_rank: int, gone: str) -> None:
    pair = [subject("train", held_out=False, rank=train_rank), subject("held-out", held_out=True, rank=1)]
    assert leave_out(pair) == {gone}
    assert leave_out(pair[:1]) == leave_out(pair[1:]) == set()


def test_a_part_that_was_sent_as_normal_and_inspected_is_on_one_side() -> None:
    pair = [
        replace(subject("train", held_out=False, serial="s"), image_hash=""),
        replace(subject("normal", held_out=True, rank=1, serial="s"), image_hash=""),
    ]
    assert leave_out(pair) == {"train"}


def test_unclear_captures_are_held_out_without_a_label() -> None:
    given = rows(900)
    unclear = [one for one in frozen(given).members if one.role is MemberRole.UNCLEAR]
    assert 0 < len(unclear) <= POLICY.unclear_max
    assert {(one.use, one.mask_uri, one.weight) for one in unclear} == {(MemberUse.CHECK, "", 0.0)}
    scores = {one.capture_id: one.score for one in given}
    clear = [scores[one.capture_id] for one in frozen(given).members if one.role is MemberRole.GOOD]
    assert min(scores[one.capture_id] for one in unclear) > max(clear)


def test_rare_results_of_the_past_are_taken_whole_and_common_ones_by_the_same_choice() -> None:
    common = [row(number, score=12.0) for number in range(400)]
    rare = [replace(row(number, score=90.0), defect_ratio=0.4) for number in range(400, 404)]
    later = [row(number, score=12.0) for number in range(404, 504)]
    chosen = choose_replayed([*common, *rare, *later], 100, older_share=0.4)
    assert len(chosen) == 100
    assert {one.capture_id for one in rare} <= {one.capture_id for one in chosen}
    order = {name(number): number for number in range(504)}
    periods = Counter(order[one.capture_id] // 111 for one in chosen[60:])
    assert len(periods) == 4
    shuffled = [*common, *rare, *later]
    random.Random(3).shuffle(shuffled)
    assert choose_replayed(shuffled, 100, older_share=0.4) == chosen
    newest = choose_replayed([*common, *rare, *later], 100, older_share=0.0)
    assert not {one.capture_id for one in rare} & {one.capture_id for one in newest}


def test_replayed_captures_are_on_both_sides_in_their_shares() -> None:
    order = {name(number): number for number in range(3000)}
    older = [one for one in frozen(rows(3000)).members if order.get(one.capture_id, 3000) < 2000]
    clear = [one for one in older if one.role in (MemberRole.GOOD, MemberRole.DEFECT)]
    assert len(clear) > 80
    assert sum(one.use is MemberUse.TRAIN for one in clear) / len(clear) == pytest.approx(0.7, abs=0.12)


def test_a_hash_survives_compression_noise_and_brightness_and_tells_parts_apart() -> None:
    rng = np.random.default_rng(0)

    def part() -> np.ndarray:
        rough = rng.uniform(0, 240, (48, 72, 3)).astype(np.float32)
        return np.asarray(cv2.resize(rough, (300, 200), interpolation=cv2.INTER_CUBIC).clip(0, 240), np.uint8)

    parts = [part() for _ in range(8)]
    for one in parts:
        data = cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        compressed = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        noisy = np.clip(one + rng.normal(0, 2, one.shape), 0, 255).astype(np.uint8)
        brighter = np.clip(one * 1.03, 0, 255).astype(np.uint8)
        for other in (compressed, noisy, brighter):
            assert difference(image_hash(one), image_hash(other)) <= NEAR_BITS_MAX
    assert min(difference(image_hash(a), image_hash(b)) for a, b in pairwise(parts)) > 30
    assert len(image_hash(parts[0][..., :1])) == HEX_DIGITS
    assert len(image_hash(parts[0].astype(np.uint16) * 257)) == HEX_DIGITS
