# SPDX-License-Identifier: BSD-3-Clause
"""A job's directory: made, filled with imports, given the scripts that run. Blocking; called in threads by :mod:`.engine`."""

import secrets
import string
from collections.abc import Mapping
from pathlib import Path

from jupyter_jsc.demo.unicore.description import Allocation, Import, Plan, Rejected

EXIT_CODE_FILE = "UNICORE_SCRIPT_EXIT_CODE"
_LETTERS = string.ascii_letters + string.digits


def create(directory: Path, umask: int) -> None:
    """Make the job's directory with the mode that the umask leaves."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777 & ~umask)


def stage_in(directory: Path, imports: tuple[Import, ...]) -> None:
    """Write the imports: 0640 whatever the umask, or with their own permissions.

    :raises Rejected: for a path that leaves the directory.
    """
    for item in imports:
        target = inside(directory, item.to)
        if target is None:
            raise Rejected(f"Staging in failed. Reason: java.io.IOException: <{item.to}>: too many '..'")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.chmod(mode_of(item.permissions) if item.permissions else 0o640)
        target.write_text(item.data, "utf-8")


def inside(directory: Path, name: str) -> Path | None:
    """Return the path of *name* in *directory*; None if it leads out, also through a link."""
    root = directory.resolve()
    path = (root / name.lstrip("/")).resolve()
    return path if path.is_relative_to(root) else None


def mode_of(permissions: str) -> int:
    """Return the mode of ``rwxr-x---``, or of octal digits."""
    if permissions.isdecimal():
        return int(permissions, 8) & 0o777
    return sum(1 << (8 - place) for place, letter in enumerate(permissions[:9]) if letter != "-")


def permissions_of(mode: int) -> str:
    """Return ``rwxr-x---`` for a mode."""
    return "".join(letter if mode & 1 << (8 - place) else "-" for place, letter in enumerate("rwxrwxrwx"))


def write_scripts(directory: Path, text: str, head: str | None) -> str:
    """Write the job's script, and for a batch job the file for ``sbatch`` around it; return the one to run."""
    script = directory / f"UNICORE_Job_{_suffix()}"
    script.write_text(text, "utf-8")
    script.chmod(0o700 if head is None else 0o774)
    if head is None:
        return script.name
    submit = directory / f"bss_submit_{_suffix()}"
    submit.write_text(f"{head}umask 0027\n{script}\n", "utf-8")
    submit.chmod(0o774)
    return submit.name


def script(plan: Plan, directory: Path, dn: str, account: str, home: Path) -> str:
    """Return the script of a job: environment, the command as it was written, and its exit code into a file."""
    lines = ["#!/bin/bash", f"umask {plan.umask:04o}"]
    lines += [f'{name}="{value}"; export {name}' for name, value in plan.environment.items()]
    lines += [
        f'UC_USERDN="{dn}"; export UC_USERDN',
        "PATH=$PATH:. ; export PATH",
        f'UC_WORKING_DIRECTORY="{directory}"; export UC_WORKING_DIRECTORY',
        f'UC_OUTPUT_DIRECTORY="{directory}"; export UC_OUTPUT_DIRECTORY',
        'cd "${UC_WORKING_DIRECTORY}"',
        f"rm -f {EXIT_CODE_FILE}",
    ]
    if plan.command:
        lines.append(plan.command + (f" < {plan.stdin}" if plan.stdin else ""))
    lines.append('echo $? > "${UC_OUTPUT_DIRECTORY}/' + EXIT_CODE_FILE + '"')
    text = "\n".join(lines) + "\n"
    # The TSI replaces these texts everywhere, so ``$USERNAME`` becomes ``<user>NAME``.
    replaced: Mapping[str, str] = {"$HOME": str(home), "$USER": account, "$LOGNAME": account}
    for variable, value in replaced.items():
        text = text.replace(variable, value)
    return text


def batch_head(plan: Plan, allocation: Allocation, directory: Path) -> str:
    """Return the ``#SBATCH`` lines of a job; here they only tell, as on the real site."""
    options = {
        "job-name": plan.name,
        "partition": allocation.partition,
        "account": allocation.project,
        "nodes": str(allocation.nodes),
        "time": str(max(1, allocation.runtime_s // 60)),
        "output": f"{directory}/{plan.stdout}",
        "error": f"{directory}/{plan.stderr}",
        "chdir": str(directory),
    }
    return "#!/bin/bash\n" + "".join(f"#SBATCH --{name}={value}\n" for name, value in options.items() if value)


def exit_code(directory: Path) -> str | None:
    """Return what the script left as its exit code; None if it has not, or not yet."""
    try:
        return (directory / EXIT_CODE_FILE).read_text("ascii").strip() or None
    except OSError:
        return None


def _suffix() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(6))
