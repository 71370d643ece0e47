# SPDX-License-Identifier: BSD-3-Clause
"""A folder of YAML files → a configuration, or everything that is wrong with it.

Called by :mod:`.current`, :mod:`.sync` and the command line. The way: :mod:`.source` reads, :mod:`.structure` makes the
object, :mod:`.references` and :mod:`.checks` look at the raw tree, so that each mistake is found beside the others.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from jupyter_jsc.config import checks, references, source
from jupyter_jsc.config.findings import Finding, mistakes
from jupyter_jsc.config.mistakes import ConfigurationRefused
from jupyter_jsc.config.model import Configuration
from jupyter_jsc.config.source import Source
from jupyter_jsc.config.structure import Checked

Model = TypeVar("Model", bound=BaseModel)


def load(folder: Path) -> Configuration:
    """Return the configuration in the YAML files of *folder*.

    Raises :class:`.mistakes.ConfigurationRefused` with every mistake and its place.
    """
    read = source.read_folder(folder)
    return _made(Configuration, read, [*references.broken(Configuration, read.tree), *checks.contradictions(read.tree)])


def load_file(model: type[Model], path: Path) -> Model:
    """Return the settings of a service from one YAML file, or raise :class:`.mistakes.ConfigurationRefused`."""
    return _made(model, source.read_file(path), [])


def _made(model: type[Model], read: Source, more: list[Finding]) -> Model:
    checked = Checked(model, read.tree)
    found = [*read.findings, *_believed(checked.findings + more, read)]
    if checked.made is None or found:
        raise ConfigurationRefused.of(mistakes(found, read.tree, root=read.root))
    return checked.made


def _believed(found: list[Finding], read: Source) -> Iterator[Finding]:
    """Leave out what misses something that may stand in a file that could not be understood."""
    for finding in found:
        if not any(map(read.may_hold, finding.misses)):
            yield finding
