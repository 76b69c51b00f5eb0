"""The documentation says what is true: code blocks that need no service, links, and tables that are written by hand."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.reference import PAGES
from infra.reference.events import BROKEN
from lambent.client import Reason
from lambent.events import Event, Intent, admit
from lambent.mapping import load_mapping
from lambent.mapping.spec import (
    CSV_ONLY,
    FieldsSpec,
    FileSpec,
    Form,
    ProductFields,
    ProductSpec,
    SourceSpec,
    Spec,
    TimeSpec,
    UserFields,
    UserSpec,
)
from lambent.settings import Settings
from lambent.taxonomy import load_taxonomy, shop
from lambent.traffic import load_rules
from tests.pages import DOCS, LANGUAGES, PROJECT, Block, all_blocks, blocks, pages, unmatched

MAPPING = "docs/reference/mapping.md"
LAW = "docs/explanation/the-lambda-law.md"


def named(found: list[Block]) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in found]


def test_every_code_block_has_a_language_that_some_test_runs() -> None:
    everything = [block for page in pages() for block in blocks(page)]
    assert [str(block) for block in everything if block.language not in LANGUAGES] == []
    fences = sum(len(re.findall("^```", text, flags=re.MULTILINE)) for text in pages().values())
    assert fences == 2 * len(everything)


@pytest.mark.parametrize("page", sorted({block.page for block in all_blocks("python")}))
def test_the_python_of_a_page_runs_and_says_what_the_page_says(page: str) -> None:
    names: dict[str, Any] = {}
    own = blocks(page)
    for block, after in itertools.pairwise([*own, Block(page, 0, "", "", "")]):
        if block.language == "python" and not block.is_file:
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(block.text, str(block), "exec"), names)
            if after.language == "text":
                assert unmatched(after, said.getvalue()) is None, said.getvalue()


@pytest.mark.parametrize("block", named(all_blocks("toml")))
def test_every_toml_block_is_a_mapping_or_settings_or_a_taxonomy_or_rules_on_traffic(
    block: Block, tmp_path: Path
) -> None:
    path = tmp_path / "block.toml"
    path.write_text(block.text)
    found = tomllib.loads(block.text)
    if "file" in found:
        load_mapping(str(path), form_of(found["fields"]))
    elif "intents" in found:
        assert load_taxonomy(path) == shop()
    elif "bot" in found:
        assert load_rules(path) == load_rules()
    else:
        assert block.title == "lambent.toml"
        assert Settings(**found)


def form_of(fields: dict[str, Any]) -> type[Form]:
    """What a mapping's rows are of."""
    if "event_ms" in fields:
        return Spec
    return UserSpec if "user" in fields else ProductSpec


@pytest.mark.parametrize("block", named(all_blocks("json")))
def test_every_json_block_is_an_event_or_an_intent(block: Block) -> None:
    if "probabilities" in json.loads(block.text):
        assert math.isclose(sum(msgspec.json.decode(block.text, type=Intent).probabilities.values()), 1)
    else:
        assert isinstance(admit(block.text.encode(), shop()), Event)


def test_every_make_command_of_the_documentation_is_a_target() -> None:
    words = {
        word for text in pages().values() for word in re.findall(r"(?:^|`)(make [a-z-]+)", text, flags=re.MULTILINE)
    }
    assert {"make demo", "make test", "make docs"} <= words
    for command in sorted(words):
        subprocess.run([*command.split(), "--dry-run"], cwd=PROJECT, check=True, capture_output=True)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (PROJECT / "README.md").read_text())
    assert links
    assert [link for link in links if not link.startswith("http") and not (PROJECT / link).exists()] == []


def test_every_reference_page_is_made_from_code_or_is_the_one_written_by_hand() -> None:
    assert [path.name for path in (DOCS / "reference").glob("*.md")] == ["mapping.md"]
    assert set(pages()) >= {f"docs/reference/{name}.md" for name in PAGES}
    for field in (*Settings.model_fields, *Event.__struct_fields__, *Intent.__struct_fields__):
        assert f"`{field}`" in pages()["docs/reference/settings.md"] + pages()["docs/reference/events.md"]
    assert all(not isinstance(admit(data, shop()), Event) for _, data in BROKEN)


def test_the_page_on_reading_names_every_reason_that_a_reading_gives() -> None:
    table = pages()["docs/how-to/read-intents.md"]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)[1:] == list(Reason)


def test_the_figures_of_the_law_and_of_its_drawing_are_those_that_the_code_gives() -> None:
    (output,) = (block.text for block in blocks(LAW) if block.language == "text")
    drawing = (PROJECT / LAW).with_suffix(".svg").read_text()
    shown = set(re.findall(r"\b\d\.\d{4}\b", pages()[LAW] + drawing))
    assert len(shown) > 5
    assert shown <= set(re.findall(r"\b\d\.\d{4}\b", output))


# The tables of the page on mapping files


def rows_after(heading: str) -> dict[str, str]:
    """First and second cell of the tables of a section of the page."""
    section = pages()[MAPPING].partition(f"\n## {heading}")[2].partition("\n## ")[0]
    cells = (line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `"))
    return {line[0].strip(): line[1].strip() for line in cells}


def key(name: str) -> str:
    return f"`{name}`"


def test_the_page_on_mappings_names_every_key_and_its_default() -> None:
    file = rows_after("`[file]`")
    assert set(file) == set(map(key, FileSpec.__struct_fields__))
    for field in msgspec.structs.fields(FileSpec):
        if field.name not in ("format", "columns"):
            assert tomllib.loads(f"x = {file[key(field.name)].strip('`')}")["x"] == _plain(field.default), field.name
    csv = pages()[MAPPING].partition("For CSV alone:")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", csv, flags=re.MULTILINE) == list(CSV_ONLY)
    assert set(map(key, SourceSpec.__struct_fields__)) <= set(rows_after("`[fields]`"))
    assert set(map(key, TimeSpec.__struct_fields__)) == set(rows_after("`[time]`"))
    for form in (FieldsSpec, UserFields, ProductFields):
        assert [name for name in form.__struct_fields__ if key(name) not in pages()[MAPPING]] == []


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_the_page_on_mappings_names_every_reason_that_reading_a_file_gives() -> None:
    folder = PROJECT / "lambent" / "mapping"
    source = "".join(path.read_text() for path in folder.glob("*.py")) + (PROJECT / "lambent" / "events.py").read_text()
    given = set(re.findall(r'\b(?:Rejection|Unfit)\(\s*"(\w+)"', source))
    named_there = {name for cell in rows_after("What becomes of a row") for name in re.findall(r"`(\w+)`", cell)}
    assert given <= named_there
