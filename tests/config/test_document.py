# SPDX-License-Identifier: BSD-3-Clause
"""One YAML text → data with places: what means what, what is refused where, and that no text takes long.

Every text goes through both parsers, the one with libyaml and the one without.
"""

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jupyter_jsc.config import document
from jupyter_jsc.config.document import Branch, Budget, Items, Place, Unreadable


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(document, "LOADER", yaml.SafeLoader)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("this PyYAML has no libyaml")
    return request.param


def read(text: str) -> Branch:
    tree, faults = document.read(text, "a.yaml", Budget())
    assert faults == []
    return tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("true", True),
        ("No", False),
        ("ON", True),
        ("y", "y"),
        ("", None),
        ("~", None),
        ("null", None),
        ("'null'", "null"),
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("0", 0),
        ("'5'", "5"),
        ("1.5", 1.5),
        ("1.5e+3", 1500.0),
        ("0600", "0600"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("10:30", "10:30"),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("9" * 30, "9" * 30),
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T08:00:00+01:00", "2026-03-01T08:00:00+01:00"),
        ("=", "="),
        ("[1, b]", [1, "b"]),
        ("{b: c}", {"b": "c"}),
        ("|\n  x\n  y\n", "x\ny\n"),
    ],
)
def test_plain_values_are_never_misread(text: str, value: Any) -> None:
    """Truth values, decimal numbers and nothing are what they say; whatever YAML would guess at is a text."""
    assert read(f"k: {text}") == {"k": value}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~", "\ufeff"[1:] + "\n\n"])
def test_an_empty_text_says_nothing(text: str) -> None:
    """A file with comments only is no mistake."""
    assert read(text) == {}


def test_every_key_and_item_knows_its_line() -> None:
    """Also within flow style, under aliases and merge keys: where it is really written."""
    tree = read("a: &a\n  b: 1\n  c: [x,\n    y]\nd: *a\ne:\n  <<: *a\n  f: 2\n")
    assert {key: place.line for key, place in tree.places.items()} == {"a": 1, "d": 5, "e": 6}
    assert tree["d"].places == {"b": Place("a.yaml", 2), "c": Place("a.yaml", 3)}
    assert {key: place.line for key, place in tree["e"].places.items()} == {"b": 2, "c": 3, "f": 8}
    items = tree["d"]["c"]
    assert isinstance(items, Items)
    assert [place.line for place in items.places] == [3, 4]


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"x": 1, "y": 3}),
        ("a: &a {x: 1}\nc: &c {x: 2, z: 3}\nb: {<<: [*a, *c]}", {"x": 1, "z": 3}),
        ("b: {<<: {x: 1}, y: 2}", {"x": 1, "y": 2}),
        ('b: {"<<": 1}', {"<<": 1}),
    ],
)
def test_merge_keys_fill_in_what_is_not_there(text: str, merged: dict[str, Any]) -> None:
    """Own keys win, and the first of several."""
    assert read(text)["b"] == merged


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, ("a",), "This key stands in line 1 already."),
        ("a: {b: 1, b: 2}", 1, ("a", "b"), "This key stands in line 1 already."),
        ("a:\n  <<: {}\n  <<: {}", 3, ("a",), "There is a second `<<` here; write `<<: [*a, *b]`."),
        ("a:\n  on: 1", 2, ("a", "on"), "The key `on` means a truth value in YAML; put it in quotes."),
        ("2026: x", 1, ("2026",), "The key `2026` means a number in YAML; put it in quotes."),
        ("4.6: x", 1, ("4.6",), "The key `4.6` means a number in YAML; put it in quotes."),
        ("~: x", 1, ("~",), "The key `~` means nothing in YAML; put it in quotes."),
        ("[a]: x", 1, (), "A key must be a name, not a mapping or a list."),
        ("a: &a b\n*a : c", 2, (), "A key must be a name, not an alias."),
        ("a: !!int 5", 1, ("a",), "The tag `!!int` has no use here; leave it out."),
        (
            "a: [x, !!python/name:os.system y]",
            1,
            ("a", 1),
            "The tag `!!python/name:os.system` has no use here; leave it out.",
        ),
        ("a: !mine {}", 1, ("a",), "The tag `!mine` has no use here; leave it out."),
        ("a: *b", 1, ("a",), "`*b` names nothing above: there is no `&b`."),
        ("a: &a\n  b: *a", 2, ("a", "b"), "`*a` stands inside of what it names."),
        ("a: {<<: 5}", 1, ("a",), "`<<` needs a mapping, or a list of mappings."),
    ],
)
def test_what_is_refused_is_named_and_the_rest_read(text: str, line: int, path: Any, message: str) -> None:
    """Line, path and what to do; other keys of the same file are there all the same."""
    tree, faults = document.read(text + "\nlast: 1", "a.yaml", Budget())
    assert [(fault.path, fault.place.line, fault.message) for fault in faults] == [(path, line, message)]
    assert tree["last"] == 1


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "a0: &a0 {}\n" + "".join(f"a{n + 1}: &a{n + 1} {{x: *a{n}}}\n" for n in range(100))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a:\n\tb: 1", 2, "A tab stands here; YAML is indented by spaces."),
        ("a: 1\n---\nb: 1", 2, "A second document begins here; use a second file instead."),
        ("%YAML 1.1\n---\na: 1", 1, "A line that begins with % is a YAML directive, which has no use here."),
        ("a: 1\n%TAG !x! y", 2, "A line that begins with % is a YAML directive, which has no use here."),
        ("a: 1\nb: \x00", 2, "The sign U+0000 has no place in a text file."),
        ('a: 1\nb: "\\0"', 2, "A text holds an escape for a sign that has no place in it."),
        ('a: 1\n"b\\e[31m": 1', 2, "A text holds an escape for a sign that has no place in it."),
        ("- a", 1, "The file must be a mapping of names to values."),
        ("\n5", 2, "The file must be a mapping of names to values."),
        ("a: " + "[" * 100_000, 1, "Mappings and lists are nested more than 40 deep."),
        ("\n".join(" " * depth + "a:" for depth in range(100)), 41, "Mappings and lists are nested more than 40 deep."),
        (CHAIN, 41, "With `*a39`, mappings and lists are nested more than 40 deep."),
        (BOMB, 6, "With all aliases written out there are more than 200000 values."),
    ],
)
def test_a_text_that_cannot_be_understood_says_why(text: str, line: int, message: str) -> None:
    """The line and a sentence, at once, however large the thing would be."""
    with pytest.raises(Unreadable) as caught:
        document.read(text, "a.yaml", Budget())
    assert (caught.value.line, caught.value.message) == (line, message)


@pytest.mark.parametrize(
    "text", ["a: [", 'a: "x', "a: b: c", "a: @", "a: 'x\nb: y", "a: 1\n b: 2", '"\\ud800": 1', "? ["]
)
def test_broken_yaml_has_a_line(text: str) -> None:
    """Whatever the parser says, it comes with a line of the file."""
    with pytest.raises(Unreadable) as caught:
        document.read(text, "a.yaml", Budget())
    assert 1 <= caught.value.line <= text.count("\n") + 1


def test_the_budget_is_one_for_all_files() -> None:
    """Many files together are no larger than one."""
    budget = Budget()
    budget.left = 3
    document.read("a: 1", "a.yaml", budget)
    with pytest.raises(Unreadable):
        document.read("b: 1", "b.yaml", budget)


SIGNS = st.text(st.sampled_from("ab:- \n[]{}*&!%#\"'|>?,\t~5<\\ux"), max_size=60)


@given(SIGNS | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but our error comes out, and what is read are keys with places."""
    with contextlib.suppress(Unreadable):
        tree, _ = document.read(text, "a.yaml", Budget())
        assert set(tree) == set(tree.places)
