# SPDX-License-Identifier: BSD-3-Clause
"""The software of the demo's nodes: a ``python3`` with JupyterLab, and a ``module`` command like Lmod's.

Written by :mod:`.world` into its scratch folder. Jobs find both by their environment, so that the configuration's
``setup``, ``modules`` and ``python3`` mean here what they mean at a centre.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_jsc.config.model import Configuration

_MODULE = re.compile(r"^\s*(?:module|ml)\s+(?:load|add)\s+(.+)$")

_PROFILE = """\
# Read by every bash of a job (BASH_ENV). The modules that exist stand in the file that is named below, one a line.
module() {{
    local verb="${{1:-list}}" wanted
    shift || true
    case "$verb" in
    load | add)
        for wanted in "$@"; do
            if ! grep --quiet --line-regexp --fixed-strings -- "$wanted" {modules}; then
                echo "Lmod has detected the following error:  The following module(s) are unknown: \\"$wanted\\"" >&2
                echo 'Please check the spelling or version number. Also try "module spider ..."' >&2
                return 1
            fi
            export LOADEDMODULES="${{LOADEDMODULES:+$LOADEDMODULES:}}$wanted"
        done
        ;;
    purge) export LOADEDMODULES= ;;
    list) echo "Currently Loaded Modules: ${{LOADEDMODULES:-none}}" >&2 ;;
    avail | spider) cat {modules} >&2 ;;
    *) return 0 ;;
    esac
}}
ml() {{ module load "$@"; }}
# So that terminals of labs have both, too.
export -f module ml
"""


@dataclass(frozen=True)
class Software:
    """What the sites give to their jobs."""

    path: str
    """``PATH``, with the ``python3`` first."""
    environment: Mapping[str, str]


def install(folder: Path, python: str, configuration: Configuration) -> Software:
    """Write everything into *folder*; ``modules.txt`` in it names every module that the configuration loads."""
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    # Not a link: an interpreter finds its virtual environment by the name that it is called by. Not of sh, which may drop
    # the functions in the environment.
    (programs / "python3").write_text(f'#!/bin/bash\nexec {shlex.quote(python)} "$@"\n', "utf-8")
    (programs / "python3").chmod(0o755)
    modules, profile = folder / "modules.txt", folder / "profile.sh"
    modules.write_text("".join(f"{name}\n" for name in sorted(set(_modules(configuration)))), "utf-8")
    profile.write_text(_PROFILE.format(modules=shlex.quote(str(modules))), "utf-8")
    return Software(f"{programs}:/usr/local/bin:/usr/bin:/bin", {"BASH_ENV": str(profile), "SHELL": "/bin/bash"})


def _modules(configuration: Configuration) -> Iterator[str]:
    """Yield what is loaded by software sets, by the setup of options, and by hooks."""
    for chosen in configuration.software.values():
        for item in chosen.items.values():
            yield from item.modules
    lines = [line for option in configuration.options.values() for line in option.setup]
    lines += [line for job in configuration.jobs.values() for hook in job.hooks.values() for line in hook.run]
    for line in lines:
        if found := _MODULE.match(line):
            yield from found[1].split()
