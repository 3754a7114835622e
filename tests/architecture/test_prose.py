"""The prose check on the whole project, and on planted faults; the rules are in ``prose.py``."""

import pytest

from tests.architecture.prose import OURS, ROOT, WORDS_MAX, main, read, violations

SOME, NO, ANY, WHO = "some" + "body", "no" + "body", "any" + "body", "who" + "ever"
LONG = " ".join(["word"] * (WORDS_MAX + 1))
JUST = " ".join(["word"] * WORDS_MAX)
PRODUCT, TEST = "siad/runtime/clock.py", "tests/unit/test_clock.py"

FAULTS = (
    (PRODUCT, f'"""Tell {SOME} the time."""', f":1: '{SOME}'"),
    (PRODUCT, f"x = 1  # {NO} reads this", f":1: '{NO}'"),
    (PRODUCT, f"\nraise ValueError('{WHO} calls this')", f":2: '{WHO}'"),
    (PRODUCT, f"log.info('waits', reason=f'{ANY} {{x}}')", f":1: '{ANY}'"),
    (PRODUCT, f"app.command(help='What {SOME.upper()} types')", f":1: '{SOME.upper()}'"),
    (PRODUCT, f"Counter('siad_x_total', 'Records that {NO} took.')", f":1: '{NO}'"),
    (PRODUCT, f"def {NO}_waits(): ...", f":1: '{NO}'"),
    (TEST, f"def test_{NO}_waits(): ...", f":1: '{NO}'"),
    (TEST, f"# {WHO} is first", f":1: '{WHO}'"),
    ("docs/chaos.md", f"# Chaos\n\n{WHO.capitalize()} holds the lease.", f":3: '{WHO.capitalize()}'"),
    ("protos/siad/v1/events.proto", f"// {SOME} wrote it", f":1: '{SOME}'"),
    (PRODUCT, f'"""{LONG}."""', f":1: first line has {WORDS_MAX + 1} words"),
    (PRODUCT, f'class Clock:\n    """{LONG}\n\n    Short."""', f":2: first line has {WORDS_MAX + 1} words"),
    (PRODUCT, f'async def f():\n    """{LONG}."""', f":2: first line has {WORDS_MAX + 1} words"),
    ("benchmarks/bus.py", f'"""{LONG}."""', f":1: first line has {WORDS_MAX + 1} words"),
    (PRODUCT, '"""THE bus, as far as this goes."""', "opens with THE"),
    (PRODUCT, "class Made: ...", ":1: class Made is a bare participle"),
    (PRODUCT, "class _Said: ...", ":1: class _Said is a bare participle"),
    (PRODUCT, "class Labelled: ...", ":1: class Labelled is a bare participle"),
    (PRODUCT, "class Waiting: ...", ":1: class Waiting is a bare participle"),
)
FINE = (
    (PRODUCT, f'"""{JUST}."""'),
    (PRODUCT, f'"""{JUST} -> - ."""'),
    (PRODUCT, f'"""``python -m siad.apps.cli up --data x`` {JUST.removesuffix(" word")}."""'),
    (PRODUCT, f'"""Clock.\n\n{LONG}.\n"""'),
    (PRODUCT, '"""The clock."""\nclass ImageStored: ...\nclass Seed: ...\nclass Training: ...\nclass Setting: ...'),
    (PRODUCT, '"""Body."""\nx = "antibody"'),
    (TEST, f'"""{LONG}."""\nclass Made: ...'),
    ("README.md", f"THE bus. {LONG}."),
)


def test_the_project_keeps_to_the_style() -> None:
    found = violations(read(ROOT / name for name in OURS if (ROOT / name).exists()))
    assert found == []


@pytest.mark.parametrize(("path", "text", "reported"), FAULTS)
def test_a_planted_fault_is_reported(path: str, text: str, reported: str) -> None:
    (found,) = violations({path: text})
    assert found.startswith(f"{path}:")
    assert reported in found
    assert "; " in found, "it also says what to write instead"


@pytest.mark.parametrize(("path", "text"), FINE)
def test_plain_prose_is_left_alone(path: str, text: str) -> None:
    assert violations({path: text}) == []


def test_the_script_prints_the_violations_of_a_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no/such/room"]) == 2
    assert main([__file__]) == 0
    assert capsys.readouterr().out == ""
