# SPDX-License-Identifier: BSD-3-Clause
"""More than a thousand broken configurations: each is loaded or refused, never anything else.

Each is the full configuration with one thing changed by chance, always the same chance. A refusal has a file, and a
line wherever the file has lines.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_jsc.config import load, source
from jupyter_jsc.config.mistakes import ConfigurationRefused, Mistake
from tests.config import full

TIMES = 45
FILES = sorted(str(path.relative_to(full.FOLDER)) for path in full.FOLDER.rglob("*.yaml"))
NOISE = re.compile(r"function-|\[key\]|constrained|list\[|pydantic|Value error|Input should|object at 0x")
WRONG = [
    None,
    True,
    0,
    -1,
    10**30,
    4.6,
    "",
    "x",
    "a b",
    "\x1b[31m",
    "ä" * 200,
    [],
    [[]],
    {},
    {"x": None},
    "2026-03-01",
    "*",
]
BOMB = "".join(f"b{n + 1}: &b{n + 1} [{', '.join([f'*b{n}'] * 9)}]\n" for n in range(9))

Mutation = Callable[[random.Random, str], str | bytes]


def _line(chance: random.Random, text: str, change: Callable[[str], list[str]]) -> str:
    lines = text.split("\n")
    number = chance.randrange(len(lines) - 1)
    return "\n".join([*lines[:number], *change(lines[number]), *lines[number + 1 :]])


def _value(chance: random.Random, text: str, new: str) -> str:
    places = [match.span(1) for match in re.finditer(r": ([^\n{\[&]+)$", text, re.MULTILINE)]
    begin, end = chance.choice(places)
    return text[:begin] + new + text[end:]


def _key(chance: random.Random, text: str, new: Callable[[str], str]) -> str:
    match = chance.choice(list(re.finditer(r"^ *([\w.-]+):", text, re.MULTILINE)))
    return text[: match.start(1)] + new(match[1]) + text[match.end(1) :]


def _tree(chance: random.Random, text: str, change: Callable[[Any, Any], None]) -> str:
    """Change one mapping or list of the file, at any depth."""
    tree = json.loads(json.dumps(yaml.load(text, yaml.CSafeLoader), default=str))
    inside = [node for node in _nodes(tree) if node]
    node = chance.choice(inside)
    change(node, chance.choice(list(node) if isinstance(node, dict) else range(len(node))))
    return json.dumps(tree, indent=1)


def _nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        yield node
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _nodes(inner)


def _spoil(text: str, at: int) -> str:
    return text[:at] + text[at + 1 :] if at % 2 else text[:at] + text[at : at + 1].swapcase() + text[at + 1 :]


TEXTS: dict[str, Mutation] = {
    "cut": lambda chance, text: text.encode()[: chance.randrange(len(text))],
    "sign lost": lambda chance, text: _spoil(text, chance.randrange(len(text))),
    "sign too many": lambda chance, text: (
        text[: (at := chance.randrange(len(text)))] + chance.choice("[]{}:,-#&*!|>'\"%@`\t\n?<\0ä") + text[at:]
    ),
    "bytes": lambda chance, text: (
        text.encode()[: (at := chance.randrange(len(text)))] + chance.randbytes(4) + text.encode()[at:]
    ),
    "line lost": lambda chance, text: _line(chance, text, lambda line: []),
    "line twice": lambda chance, text: _line(chance, text, lambda line: [line, line]),
    "line moved in": lambda chance, text: _line(chance, text, lambda line: ["   " + line]),
    "line moved out": lambda chance, text: _line(chance, text, lambda line: [line.lstrip()]),
    "tab": lambda chance, text: _line(chance, text, lambda line: ["\t" + line.lstrip()]),
    "document": lambda chance, text: _line(chance, text, lambda line: ["---", line]),
    "value": lambda chance, text: _value(
        chance, text, chance.choice(["x", "5", "yes", "[x]", "{x: y}", "2026-01-01", ""])
    ),
    "unknown alias": lambda chance, text: _value(chance, text, "*nobody"),
    "tag": lambda chance, text: _value(
        chance, text, chance.choice(["!!python/name:os.system", "!!binary aa", "!x y", "!!set"])
    ),
    "cycle": lambda chance, text: _line(chance, text, lambda line: [re.sub(r": .*", ":", line) + " &c [*c, {x: *c}]"]),
    "explosion": lambda chance, text: "b0: &b0 [x, x, x]\n" + BOMB + text,
    "depth": lambda chance, text: _value(chance, text, "[" * chance.randrange(30, 300)),
    "key misspelt": lambda chance, text: _key(chance, text, lambda key: key[:-1] + "q"),
    "key of another kind": lambda chance, text: _key(
        chance, text, lambda key: chance.choice(["on", "5", "~", "[a]", "? a", "<<"])
    ),
    "wrong type": lambda chance, text: _tree(chance, text, lambda node, at: node.__setitem__(at, chance.choice(WRONG))),
    "part lost": lambda chance, text: _tree(chance, text, lambda node, at: node.__delitem__(at)),
    "part moved": lambda chance, text: _tree(
        chance,
        text,
        lambda node, at: node.update({"x": node.pop(at)}) if isinstance(node, dict) else node.append(node[at]),
    ),
    "binary": lambda chance, text: chance.randbytes(1000),
    "10 MB": lambda chance, text: text + "#" * 10_000_000,
    "1 MB of keys": lambda chance, text: text + "".join(f"k{number}: 1\n" for number in range(5_000)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full.copy(tmp_path_factory.mktemp("full"))


def outcome(folder: Path) -> tuple[Mistake, ...]:
    """Load the folder; return what it is refused for, after looking at each mistake."""
    try:
        load.load(folder)
    except ConfigurationRefused as refused:
        for mistake in refused.mistakes:
            check(folder, mistake)
        return refused.mistakes
    return ()


def check(folder: Path, mistake: Mistake) -> None:
    assert mistake.file
    assert mistake.message.endswith(".")
    assert str(mistake).isprintable()
    assert NOISE.search(f"{mistake.path} {mistake.message} {mistake.allowed}") is None
    path = folder / mistake.file
    if path.is_file() and not path.is_symlink() and path.stat().st_size <= source.MAX_FILE_BYTES:
        assert 1 <= mistake.line <= max(1, len(path.read_bytes().decode("utf-8", "replace").splitlines()))
    else:
        assert mistake.line == 0


@pytest.mark.parametrize("name", TEXTS)
def test_a_mutated_file_is_loaded_or_refused(folder: Path, name: str) -> None:
    """Nothing else comes out; what is refused has file and line; what was right before is right again."""
    times = 2 if "MB" in name else TIMES
    for seed in range(times):
        chance = random.Random(f"{name} {seed}")
        path = folder / chance.choice(FILES)
        text = path.read_text("utf-8")
        mutated = TEXTS[name](chance, text)
        path.write_bytes(mutated if isinstance(mutated, bytes) else mutated.encode())
        try:
            outcome(folder)
        except BaseException as error:
            error.add_note(f"seed {seed}, {path.name}")
            raise
        finally:
            path.write_text(text, "utf-8")


@pytest.mark.parametrize("seed", range(20))
def test_many_mutations_at_once_are_refused(tmp_path: Path, seed: int) -> None:
    """Broken files beside each other do not hide that they are broken."""
    chance, folder = random.Random(seed), full.copy(tmp_path)
    for file in FILES:
        mutation = chance.choice([name for name in TEXTS if "MB" not in name])
        changed = TEXTS[mutation](chance, (folder / file).read_text("utf-8"))
        (folder / file).write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    assert outcome(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_stands_there_twice_is_refused(tmp_path: Path, file: str) -> None:
    """Every value has one place."""
    folder = full.copy(tmp_path)
    (folder / "zzz.yaml").write_bytes((folder / file).read_bytes())
    assert {mistake.file for mistake in outcome(folder)} == {"zzz.yaml"}


@pytest.mark.parametrize("file", FILES)
def test_a_link_instead_of_a_file_is_refused(tmp_path: Path, file: str) -> None:
    """Also if the file that it leads to is right, wherever that is."""
    folder = full.copy(tmp_path)
    (folder / file).unlink()
    (folder / file).symlink_to(full.FOLDER / file)
    assert file in {mistake.file for mistake in outcome(folder)}


def test_there_are_more_than_a_thousand() -> None:
    """As many as asked for."""
    assert sum(2 if "MB" in name else TIMES for name in TEXTS) + 20 + 2 * len(FILES) >= 1000
