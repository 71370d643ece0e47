# SPDX-License-Identifier: BSD-3-Clause
"""Images without a registry: a base from Debian's packages, builds by buildah from it, and the pause image."""

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools.kubernetes import binaries, nodes
from tools.kubernetes.machine import run
from tools.kubernetes.network import exists, node_names
from tools.kubernetes.places import BIN, CACHE, IMAGES

BASE = "docker.io/library/debian:bookworm-slim"
BASE_PACKAGES = ("python3", "python3-venv", "openssh-server", "ca-certificates", "tini", "git", "bash")
"""What images need of Debian: a build has no network, so that it is there beforehand."""

_STORAGE = CACHE / "storage"
_ROOT = Path(__file__).resolve().parents[2]


def load(archives: Sequence[str]) -> None:
    """Leave the images of OCI *archives* on every node of the running cluster."""
    for node in filter(exists, node_names(9)):
        for archive in archives:
            nodes.import_image(node, Path(archive))


def build(context: Path, image: str) -> Path:
    """Return the OCI archive of *image*, built without network in *context*; an unchanged one is not built again."""
    _ensure_base()
    name = image.replace("/", "_").replace(":", "_")
    archive = IMAGES / f"{name}-{_digest(context)}.tar"
    if archive.exists():
        return archive
    for file in context.rglob("*"):
        os.utime(file, (0, 0))  # buildah takes a file of another time for another file
    _buildah("build", "--pull-never", "--layers", "--network", "host", "--tag", image, str(context))
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob(f"{name}-*.tar"):
        old.unlink()
    unfinished = archive.with_suffix(".new")
    _buildah("push", "--quiet", image, f"oci-archive:{unfinished}:{image}")
    unfinished.rename(archive)
    return archive


def _digest(context: Path) -> str:
    """A name for the contents of a folder."""
    found = hashlib.sha256()
    for file in sorted(path for path in context.rglob("*") if path.is_file()):
        found.update(f"{file.relative_to(context)} {file.stat().st_size}\n".encode())
        # The wheels of others are those that the requirements name by hash.
        if file.parent.name != "wheels":
            found.update(file.read_bytes())
    return found.hexdigest()[:16]


def build_ours() -> list[Path]:
    """Return the archives of this project's images, built from its sources as they are."""
    contexts = CACHE / "contexts"
    print("building the images", flush=True)
    # Wheels of the same source are the same file then.
    run(sys.executable, str(_ROOT / "images" / "context.py"), str(contexts), SOURCE_DATE_EPOCH="315532800")
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return [build(contexts / name, f"localhost/jupyter-jsc/{name}:{version}") for name in ("ssh", "k8smgr", "lab")]


def pause_archive() -> Path:
    """Return the OCI archive of the image that holds a pod's namespaces: a static program that waits for a signal."""
    archive = IMAGES / "pause.tar"
    if not archive.exists():
        IMAGES.mkdir(parents=True, exist_ok=True)
        program = BIN / "pause"
        if not program.exists():
            folder = CACHE / "build" / "pause"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "go.mod").write_text("module pause\n\ngo 1.24\n")
            (folder / "main.go").write_text(_PAUSE)
            binaries.go(folder, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), ".")
        unfinished = archive.with_suffix(".new")
        write_archive(unfinished, f"docker.io/{nodes.PAUSE}", {"pause": program.read_bytes()}, ["/pause"])
        unfinished.rename(archive)
    return archive


def write_archive(archive: Path, image: str, files: dict[str, bytes], command: list[str]) -> None:
    """Write an OCI archive with one layer of executable *files*."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, content in files.items():
            _add(tar, name, content, mode=0o755)
    content = layer.getvalue()
    blobs: dict[str, bytes] = {}

    def described(media_type: str, blob: bytes) -> dict[str, object]:
        digest = hashlib.sha256(blob).hexdigest()
        blobs[digest] = blob
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(blob)}

    config = {
        "architecture": run("dpkg", "--print-architecture").strip(),
        "os": "linux",
        "config": {"Entrypoint": command},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", json.dumps(config).encode()),
        "layers": [described("layer.v1.tar", content)],
    }
    index = described("manifest.v1+json", json.dumps(manifest).encode())
    index["annotations"] = {"io.containerd.image.name": image, "org.opencontainers.image.ref.name": image}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [index]}).encode())
        for digest, blob in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", blob)


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _ensure_base() -> None:
    """Leave the base image in buildah's store: a small Debian with the packages that images need."""
    tree = CACHE / f"debian-{hashlib.sha256(' '.join(BASE_PACKAGES).encode()).hexdigest()[:12]}.tar"
    if not tree.exists():
        print("making the base image of Debian (once)", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            root = Path(folder) / "root"
            include = f"--include={','.join(BASE_PACKAGES)}"
            run("nice", "debootstrap", "--variant=minbase", include, "bookworm", str(root))
            for useless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
                shutil.rmtree(root / useless, ignore_errors=True)
            unfinished = Path(folder) / "tree.tar"
            run("tar", "--create", "--numeric-owner", "--file", str(unfinished), "--directory", str(root), ".")
            unfinished.rename(tree)
    if tree.name not in _buildah("images", "--format", "{{.Name}}:{{.Tag}}").replace("localhost/", "").split():
        container = _buildah("from", "scratch").strip()
        _buildah("add", "--quiet", container, str(tree), "/")
        _buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        identity = _buildah("commit", "--quiet", "--rm", container, BASE).strip()
        _buildah("tag", identity, f"localhost/{tree.name}:latest")


def _buildah(*arguments: str) -> str:
    """The output of buildah, with a store of its own, so that a machine's other images stay as they are."""
    CACHE.mkdir(parents=True, exist_ok=True)
    settings = CACHE / "storage.conf"
    settings.write_text(_STORAGE_SETTINGS.format(folder=_STORAGE))
    policy = CACHE / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    command, *rest = arguments
    checked = ("--signature-policy", str(policy)) if command in {"build", "from", "push", "commit"} else ()
    environment = {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(settings)}
    return run("nice", "buildah", command, *checked, *rest, **environment)


_STORAGE_SETTINGS = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""

_PAUSE = """\
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
}
"""
