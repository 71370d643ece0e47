# SPDX-License-Identifier: BSD-3-Clause
"""Kubernetes, CoreDNS and Helm, compiled from their Go modules once and kept in the cache."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.kubernetes.places import BIN, CACHE, COREDNS, HELM, KUBERNETES

COMPONENTS = ("kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
COMMANDS = {"coredns": f"github.com/coredns/coredns@v{COREDNS}", "helm": f"helm.sh/helm/v3/cmd/helm@v{HELM}"}


def build_all() -> None:
    """Leave every binary in the cache; what is there already stays. Takes 10 minutes on two cores, once."""
    BIN.mkdir(parents=True, exist_ok=True)
    if missing := [name for name in COMPONENTS if not (BIN / name).exists()]:
        print(f"compiling Kubernetes {KUBERNETES} into {BIN} (once, some minutes)", flush=True)
        build_kubernetes(missing)
    for name, module in COMMANDS.items():
        if not (BIN / name).exists():
            print(f"compiling {name} into {BIN} (once)", flush=True)
            install(name, module)
    shutil.rmtree(CACHE / "build", ignore_errors=True)


def build_kubernetes(names: list[str]) -> None:
    """Compile the components *names*, stamped with their version: without it they are v0.0.0 and refuse each other."""
    folder = CACHE / "build" / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(module_file())
    imports = "".join(f'import _ "k8s.io/kubernetes/cmd/{name}"\n' for name in COMPONENTS)
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\n{imports}")
    go(folder, "mod", "tidy")
    major, minor, _patch = KUBERNETES.split(".")
    version = "k8s.io/component-base/version"
    stamp = f"-X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    for name in names:
        target = folder / name
        go(
            folder,
            "build",
            "-trimpath",
            "-ldflags",
            f"-s -w {stamp}",
            "-o",
            str(target),
            f"k8s.io/kubernetes/cmd/{name}",
        )
        target.rename(BIN / name)


def module_file() -> str:
    """A module that requires Kubernetes and replaces its staging modules, as its own go.mod does within its repository."""
    described = go(CACHE, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}")
    original = Path(json.loads(described)["GoMod"]).read_text("utf-8")
    staging = sorted(set(re.findall(r"^\s*(k8s\.io/\S+) => \./staging/", original, re.MULTILINE)))
    staged = "v0." + KUBERNETES.partition(".")[2]
    if not staging:  # the published go.mod may name them only as requirements of version v0.0.0
        staging = sorted(set(re.findall(r"^\s*(k8s\.io/\S+) v0\.0\.0\b", original, re.MULTILINE)))
    go_version = next(iter(re.findall(r"^go (\S+)$", original, re.MULTILINE)), "1.24.0")
    replaced = "".join(f"replace {name} => {name} {staged}\n" for name in staging)
    return f"module tools\n\ngo {go_version}\n\nrequire k8s.io/kubernetes v{KUBERNETES}\n\n{replaced}"


def install(name: str, module: str) -> None:
    """Compile the command *module* (path@version) to the cache's *name*."""
    folder = CACHE / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    go(folder, "install", "-trimpath", "-ldflags", "-s -w", module, GOBIN=str(folder))
    (folder / name).rename(BIN / name)


def go(folder: Path, *arguments: str, **environment: str) -> str:
    """The output of the go command, run in *folder*, nicely, outside of any workspace."""
    settings = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=mod", **environment}
    finished = subprocess.run(
        ["nice", "go", *arguments], cwd=folder, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"go {' '.join(arguments)} failed:\n{finished.stderr[-2000:]}")
    return finished.stdout
