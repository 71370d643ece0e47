# SPDX-License-Identifier: BSD-3-Clause
"""The chart's values: the committed files are the model's, and each value says what it is."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from tests.charts.helm import CHART, COMBINATIONS
from tools.charts import write
from tools.charts.values import K8sMgr

SCHEMA = json.loads(write.schema_json())


def sections(node: Any) -> list[dict[str, Any]]:
    """Every object of the schema that has properties."""
    found = [node] if isinstance(node, dict) and "properties" in node else []
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return found + [section for each in inner for section in sections(each)]


@pytest.mark.parametrize(
    ("name", "text"), [("values.yaml", write.values_yaml()), ("values.schema.json", write.schema_json())]
)
def test_committed_file_is_the_models(name: str, text: str) -> None:
    """Whoever changes the model runs `make docs`."""
    assert (CHART / name).read_text("utf-8") == text


def test_defaults_are_the_models() -> None:
    """What values.yaml says is what the templates get; hubs are the one thing that everybody has to give."""
    written = yaml.safe_load(write.values_yaml())
    assert written | {"global": {}} == K8sMgr().model_dump(mode="json", by_alias=True)


def test_every_value_is_described_and_unknown_ones_are_refused() -> None:
    """The schema is the reference: no value without a sentence, no section that takes another."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    described = {f"#/definitions/{name}": of.get("description") for name, of in SCHEMA["definitions"].items()}
    assert [
        key
        for section in sections(SCHEMA)
        for key, of in section["properties"].items()
        if not of.get("description", described.get(of.get("$ref")))
    ] == []
    assert {section["additionalProperties"] for section in sections(SCHEMA)} == {False}


@pytest.mark.parametrize("path", COMBINATIONS, ids=lambda path: path.stem)
def test_model_and_schema_take_the_combinations(path: Any) -> None:
    """Model and schema agree on what is right."""
    tree = yaml.safe_load(path.read_text())
    K8sMgr.model_validate(tree)
    jsonschema.validate(tree, SCHEMA)


def test_combinations_cover_every_value() -> None:
    """Each value is given by one combination at least, so no template is left unrendered."""
    given: set[str] = set()
    for path in COMBINATIONS:
        given |= keys(
            K8sMgr.model_validate(yaml.safe_load(path.read_text())).model_dump(by_alias=True, exclude_unset=True)
        )
    known = {key for section in sections(SCHEMA) for key in section["properties"]}
    assert known - given == {"global"}


def keys(node: Any) -> set[str]:
    """All keys in a tree."""
    if isinstance(node, dict):
        return set(node) | {key for inner in node.values() for key in keys(inner)}
    return {key for inner in node for key in keys(inner)} if isinstance(node, list) else set()


@pytest.mark.parametrize(
    "key",
    [
        'command="sh" ssh-ed25519 AAAA',
        "ssh-ed25519 AAAA\nssh-ed25519 BBBB",
        "ssh-ed25519 AAAA\r",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-dss AAAA",
        "",
    ],
)
def test_no_key_line_brings_options_or_a_second_line(key: str) -> None:
    """What a portal sends as its key can't lift the restrictions that stand before it."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"hubs": {"jsc": {"sshKeys": [key]}}}, SCHEMA)
