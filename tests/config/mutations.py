# SPDX-License-Identifier: BSD-3-Clause
"""The full configuration with one thing changed by chance, always the same chance; and what a refusal of it must have.

Most mutations are mistakes, some are harmless. :mod:`.test_mutations` reads them from a folder, :mod:`.test_sync_mutations`
commits them.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from jupyter_jsc.config import source
from jupyter_jsc.config.mistakes import Mistake
from tests.config import full

TIMES = 45
"""How often each mutation is made; what is large, twice."""
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


def times(name: str) -> int:
    """How many mutations there are of a kind."""
    return 2 if "MB" in name else TIMES


def mutated(name: str, seed: int) -> tuple[str, bytes]:
    """A file of the configuration and what it holds after a mutation."""
    chance = random.Random(f"{name} {seed}")
    file = chance.choice(FILES)
    content = TEXTS[name](chance, (full.FOLDER / file).read_text("utf-8"))
    return file, content if isinstance(content, bytes) else content.encode()


def check(mistake: Mistake, content: bytes | None) -> None:
    """Hold a mistake to what a report needs: file, line where there are lines, and a sentence for people.

    *content* is what its file holds; None if it is none that can be read.
    """
    assert mistake.file
    assert mistake.message.endswith(".")
    assert str(mistake).isprintable()
    assert NOISE.search(f"{mistake.path} {mistake.message} {mistake.allowed}") is None
    if content is not None and len(content) <= source.MAX_FILE_BYTES:
        assert 1 <= mistake.line <= max(1, len(content.decode("utf-8", "replace").splitlines()))
    else:
        assert mistake.line == 0
