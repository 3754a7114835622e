"""The committed reference is current, and its generator reads comments, routes and cells correctly."""

import re
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from docs.generator.__main__ import COMMAND, stale
from docs.generator.routes import Route, routes_in
from docs.generator.settings import comments_of
from docs.generator.table import sentence, table
from siad.runtime.settings import Settings


class LampSettings(Settings):
    """Read from ``SIAD_LAMP_*``."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(env_prefix="SIAD_LAMP_")

    watts: int = Field(default=5, ge=1)  # power of the lamp
    # colour of the light,
    # as its maker names it
    colour: str = "white"
    pulse_s: float = Field(
        default=0.1, gt=0
    )  # length of one pulse, which the holder must withstand for as long as the lamp is in use here

    # what follows belongs to the holder
    holder: str = "tripod"  # what carries it
    lens: str = ""


def test_generated_documents_are_current() -> None:
    assert stale() == [], f"documents under docs/ differ from the code; run `{COMMAND}` and commit them"


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["../README", "learning", "operate", "use"])
def test_every_setting_that_documents_name_exists(name: str) -> None:
    reference = (DOCS / "reference.md").read_text()
    named = re.findall(r"SIAD_(?:<STAGE>_)?\w*[A-Za-z]", (DOCS / f"{name}.md").read_text())
    assert [one for one in named if one not in reference] == []


def test_a_setting_is_described_by_the_comment_behind_it_or_above_it() -> None:
    assert comments_of(LampSettings) == {
        "watts": "power of the lamp",
        "colour": "colour of the light, as its maker names it",
        "pulse_s": "length of one pulse, which the holder must withstand for as long as the lamp is in use here",
        "holder": "what carries it",
    }


def test_routes_are_read_with_their_prefix() -> None:
    source = '''
def make(dependencies):
    router = APIRouter(prefix="/v1/lamps", tags=["lamps"])

    @router.get("/{lamp}", status_code=200)
    async def get(lamp):
        """Describe one lamp.

        More of it."""

    @cache.get("/not-a-route")
    async def other(): ...
'''
    source += '''
OFF_PATH = "/off"

def make_off():
    router = APIRouter(tags=["lamps"])

    @router.post(OFF_PATH)
    def off():
        """Switch all off."""
'''
    assert list(routes_in(source, "a.py")) == [
        Route("a.py", "/v1/lamps/{lamp}", "get", "Describe one lamp."),
        Route("a.py", "/off", "post", "Switch all off."),
    ]


def test_a_route_whose_path_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="is no constant"):
        list(routes_in("router = APIRouter()\n@router.get(PATH)\ndef f(): ...", "a.py"))


def test_cells_keep_bars_and_sentences_keep_addresses() -> None:
    assert table(("a",), [("x | y",)]) == "| a |\n| --- |\n| x \\| y |"
    assert sentence("s3://bucket/key") == "s3://bucket/key."
    assert sentence("  side of\n``x``  ") == "Side of `x`."
