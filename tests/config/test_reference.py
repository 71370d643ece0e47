# SPDX-License-Identifier: BSD-3-Clause
"""Reference page and schema: what is committed is what the model says, and the schema fits real files."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from jupyter_jsc.config import reference, schema, source
from tests.config import full

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/config"
DOCS = ROOT / "docs/reference"
FILES = sorted([*EXAMPLE.rglob("*.yaml"), *full.FOLDER.rglob("*.yaml")])

VALIDATOR = jsonschema.Draft202012Validator(schema.schema())


def complaints(tree: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(tree)]


def test_committed_page_is_the_models() -> None:
    """Whoever changes the model runs `make docs`."""
    assert reference.page(EXAMPLE) == (DOCS / "configuration.md").read_text("utf-8")


def test_committed_schema_is_the_models() -> None:
    """Whoever changes the model runs `make docs`."""
    assert schema.document() == (DOCS / "configuration.schema.json").read_text("utf-8")


def test_every_section_has_its_part_of_the_page() -> None:
    """Nothing can be configured that the page does not tell."""
    told = {part.model.__name__ for part in reference.PARTS}
    defined = {name for name, of in schema.schema()["$defs"].items() if of.get("type") == "object"}
    assert defined - told == set()


def test_every_field_has_a_meaning() -> None:
    """No row of the page is without words."""
    page = reference.page(EXAMPLE)
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if not all(row)] == []


def test_links_of_the_page_lead_to_its_headings() -> None:
    """A reader who follows a type finds it."""
    page = reference.page(EXAMPLE)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) - anchors == set()


def test_examples_are_parts_of_the_example() -> None:
    """What the page shows can be copied: it is YAML, below the keys that lead there."""
    tree = source.read_folder(EXAMPLE).tree
    shown = [part for part in reference.PARTS if part.example]
    assert len(shown) > 20
    for part in shown:
        read, _ = source.document.read(reference.excerpt(EXAMPLE, tree, part.example), "page", source.Budget())
        assert within(read, tree), part.title


def within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    return part == whole


def test_schema_is_a_schema() -> None:
    """Editors take it."""
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_schema_fits_each_file_alone(path: Path) -> None:
    """No file of a whole configuration is underlined in an editor for what stands in another."""
    assert complaints(source.read_file(path).tree) == []


@pytest.mark.parametrize(
    "tree",
    [
        {"sistems": {}},
        {"systems": {"juwels": {"lable": "JUWELS"}}},
        {"systems": {"ju wels": {}}},
        {"systems": {"juwels": {"partitions": {"batch": {"kind": "fast"}}}}},
        {"options": {"lab": {"order": "first"}}},
        {"options": {"lab": {"description": {"fr": "Bonjour"}}}},
        {"groups": {"course": {"ranges": [{"system": "juwels"}]}}},
        {"max_labs_per_user": -1},
    ],
    ids=["key", "key inside", "name", "value", "type", "language", "incomplete item of a list", "negative"],
)
def test_schema_refuses(tree: Any) -> None:
    """Editors show at once what would be refused in any case."""
    assert complaints(tree) != []


def test_schema_says_what_references_mean() -> None:
    """Editors tell where the name must stand."""
    definitions = schema.schema()["$defs"]
    assert definitions["System"]["properties"]["manager"]["description"].endswith("A key of `managers`.")
    assert definitions["Allowed"]["properties"]["partitions"]["description"].endswith("Keys of `systems.*.partitions`.")
