# SPDX-License-Identifier: BSD-3-Clause
"""A folder → one tree: which files count, how they are merged, and what is refused without being read."""

import os
from pathlib import Path

import pytest

from jupyter_jsc.config import source
from jupyter_jsc.config.source import Source


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def said(read: Source) -> list[tuple[str, int, str]]:
    return [(found.place.file, found.place.line, found.message) for found in read.findings if found.place]


def test_files_are_merged_mapping_by_mapping(tmp_path: Path) -> None:
    """Operators split the configuration as they like, at any depth; each key keeps its own place."""
    read = source.read_folder(write(tmp_path, a="a: {x: 1, y: {p: 1}}", b="a:\n  y: {q: 2}", sub__c="a: {z: 3}\nd: 4"))
    assert read.findings == []
    assert read.tree == {"a": {"x": 1, "y": {"p": 1, "q": 2}, "z": 3}, "d": 4}
    assert read.tree["a"]["y"].places == {"p": ("a.yaml", 1), "q": ("b.yaml", 2)}
    assert read.tree["a"].places["z"] == ("sub/c.yaml", 1)


@pytest.mark.parametrize("first", ["a: {b: 1}", "a:\n  b: [1]", "a: {b: {}}", "a: {b: }"])
@pytest.mark.parametrize("second", ["a: {b: 2}", "a:\n b: []", "a:\n b:\n"])
def test_a_value_in_two_files_is_a_mistake_that_names_both(tmp_path: Path, first: str, second: str) -> None:
    """No file overrides another silently."""
    read = source.read_folder(write(tmp_path, a=first, b=second))
    place = f"a.yaml:{first.count(chr(10)) + 1}"
    assert [text for _, _, text in said(read)] == [f"`a.b` stands in {place} already."]
    assert [file for file, _, _ in said(read)] == ["b.yaml"]


def test_merging_changes_no_other_use_of_an_alias(tmp_path: Path) -> None:
    """What another file adds at one place does not appear at the other."""
    read = source.read_folder(write(tmp_path, a="a: &a {x: 1}\nb: *a", b="b: {y: 2}"))
    assert read.tree == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def test_what_counts_as_a_file(tmp_path: Path) -> None:
    """``.yaml`` and ``.yml``; neither hidden files nor folders nor other endings."""
    write(tmp_path, a="a: 1", **{".hidden": "b: [", ".git__c": "c: ["})
    (tmp_path / "d.yml").write_text("d: 1")
    (tmp_path / "README.md").write_text("e: [")
    (tmp_path / "f.yaml.bak").write_text("f: [")
    read = source.read_folder(tmp_path)
    assert (read.tree, read.findings) == ({"a": 1, "d": 1}, [])


def test_an_empty_or_missing_folder_is_a_mistake(tmp_path: Path) -> None:
    """A wrong path is not an empty portal."""
    assert said(source.read_folder(tmp_path)) == [(".", 0, f"{tmp_path} has no file that ends with .yaml or .yml.")]
    assert said(source.read_folder(tmp_path / "no")) == [(".", 0, "It cannot be read: No such file or directory.")]
    file = write(tmp_path, a="a: 1") / "a.yaml"
    assert said(source.read_folder(file)) == [(".", 0, "It cannot be read: Not a directory.")]


def test_no_link_in_the_folder_is_followed(tmp_path: Path) -> None:
    """Whether it leads to a file or a folder, out of the tree or into it; the folder itself may be one."""
    outside = write(tmp_path / "outside", secret="hunter2: 1")
    inside = write(tmp_path / "inside", a="a: 1")
    (inside / "b.yaml").symlink_to(outside / "secret.yaml")
    (inside / "c.yaml").symlink_to("a.yaml")
    (inside / "d").symlink_to(outside)
    (inside / "e").symlink_to("e")
    (tmp_path / "current").symlink_to(inside)
    read = source.read_folder(tmp_path / "current")
    message = "A symbolic link has no place in a configuration; write the file itself."
    assert said(read) == [(name, 0, message) for name in ("b.yaml", "c.yaml", "d", "e")]
    assert read.tree == {"a": 1}


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Reading does not wait for somebody to write into it."""
    os.mkfifo(tmp_path / "a.yaml")
    assert said(source.read_folder(tmp_path)) == [("a.yaml", 0, "This is no usual file.")]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a: 1\nb: \xff", 2, "The file is no text in UTF-8."),
        ("a: ä".encode("utf-16"), 1, "The file is no text in UTF-8."),
        (b"\x7fELF\x00\x00", 1, "The sign U+007F has no place in a text file."),
        (b"a: 1\n" + b"#" * 10_000_000, 0, "The file is larger than 1 MB."),
    ],
)
def test_what_is_no_text_or_too_large_is_refused(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    """The rest of the folder is read."""
    read = source.read_folder(write(tmp_path, a="x: 1", b=content))
    assert said(read) == [("b.yaml", line, message)]
    assert read.tree == {"x": 1}


def test_all_files_together_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many bytes, nor many files, nor many folders get through."""
    write(tmp_path, a="a: 1", b="b: 1", sub__c="c: 1")
    monkeypatch.setattr(source, "MAX_BYTES", 9)
    assert said(source.read_folder(tmp_path)) == [
        ("sub/c.yaml", 0, "Together the files are larger than 0 MB."),
    ]
    monkeypatch.setattr(source, "MAX_BYTES", 100)
    monkeypatch.setattr(source, "MAX_FILES", 2)
    assert said(source.read_folder(tmp_path)) == [(".", 0, "There are more than 2 files.")]
    monkeypatch.setattr(source, "MAX_FOLDERS", 1)
    assert said(source.read_folder(tmp_path)) == [(".", 0, "There are more than 1 folders.")]


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    """Some editors write one."""
    assert source.read_folder(write(tmp_path, a=b"\xef\xbb\xbfa: 1")).tree == {"a": 1}


def test_what_could_not_be_understood_may_hold_any_word_in_it(tmp_path: Path) -> None:
    """Whole words of its text; of what is no text, everything."""
    read = source.read_folder(write(tmp_path, a="juwels: [\ngpu-2: 1"))
    assert [read.may_hold(name) for name in ("juwels", "gpu-2", "gpu", "jureca")] == [True, True, False, False]
    assert source.read_folder(write(tmp_path, b=b"\xff")).may_hold("jureca")
    assert not Source(root=".").may_hold("juwels")


def test_settings_may_be_reached_by_links(tmp_path: Path) -> None:
    """A single file is named by its operator; only folders are given by somebody else."""
    write(tmp_path, a="a: 1")
    (tmp_path / "own.yaml").symlink_to("a.yaml")
    assert source.read_file(tmp_path / "own.yaml").tree == {"a": 1}
    (tmp_path / "round.yaml").symlink_to("round.yaml")
    assert [file for file, _, _ in said(source.read_file(tmp_path / "round.yaml"))] == ["round.yaml"]
    assert said(source.read_file(tmp_path / "no.yaml")) == [
        ("no.yaml", 0, "It cannot be read: No such file or directory."),
    ]
