# SPDX-License-Identifier: BSD-3-Clause
"""The files of a pod: its volumes as folders of this machine, and where the paths in its containers lead.

Called by :mod:`.pods`. There is no file system of an image: what is mounted nowhere belongs to the machine if it is a
command, and to the pod's own folder if it is a working directory.
"""

import base64
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from jupyter_jsc.demo.kubernetes.objects import Tree
from jupyter_jsc.demo.kubernetes.store import Key, Store


class MountError(Exception):
    """A volume cannot be mounted yet."""


class Files:
    """The folder of one pod."""

    def __init__(self, scratch: Path, pod: Tree) -> None:
        self._scratch = scratch
        self._namespace = pod["metadata"]["namespace"]
        self._volumes: Mapping[str, Tree] = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        self.folder: Path = scratch / "pods" / pod["metadata"]["uid"]

    def mount(self, store: Store) -> None:
        """Make every volume; raises :class:`MountError` with the kubelet's words if something is not there."""
        for name in ("root", "volumes", "logs"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, volume in self._volumes.items():
            if "secret" in volume:
                self._secret(store, name, volume["secret"])
            else:
                self._place(name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove everything but claimed volumes, which last."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, container: str) -> Path:
        """Return where a container's output goes."""
        return self.folder / "logs" / f"{container}.log"

    def here(self, container: Tree, text: str) -> str:
        """Return *text* with a path in the container as it is on this machine."""
        mounts = container.get("volumeMounts") or []
        for mount in sorted(mounts, key=lambda mount: len(mount["mountPath"]), reverse=True):
            inside = mount["mountPath"].rstrip("/")
            if text == inside or text.startswith(inside + "/"):
                return str(self._place(mount["name"]) / mount.get("subPath", "")) + text[len(inside) :]
        return text

    def directory(self, container: Tree) -> Path:
        """Return the working directory of a container, which is made as a container runtime does."""
        wanted = container.get("workingDir") or "/"
        found = Path(self.here(container, wanted))
        if str(found) == wanted:
            found = self.folder / "root" / wanted.lstrip("/")
        found.mkdir(parents=True, exist_ok=True)
        return found

    def temporary(self, container: Tree) -> str:
        """Return what is ``/tmp`` there."""
        found = Path(self.here(container, "/tmp"))  # noqa: S108  the name inside the container
        path = self.folder / "root" / "tmp" if found == Path("/tmp") else found  # noqa: S108
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def _place(self, name: str) -> Path:
        claim = self._volumes[name].get("persistentVolumeClaim")
        return claimed(self._scratch, self._namespace, claim["claimName"]) if claim else self.folder / "volumes" / name

    def _secret(self, store: Store, name: str, source: Tree) -> None:
        """Write a Secret like a kubelet: a folder of its own, behind a link that can be changed in one step."""
        secret = store.get(Key("secrets", self._namespace, source["secretName"]))
        if secret is None:
            if source.get("optional"):
                self._place(name).mkdir(exist_ok=True)
                return
            what = f'secret "{source["secretName"]}" not found'
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {what}')
        data, place = secret.get("data") or {}, self._place(name)
        names = {item["key"]: item["path"] for item in source.get("items") or []} or {key: key for key in data}
        mode = source.get("defaultMode", 0o644)
        shutil.rmtree(place, ignore_errors=True)
        real = place / f"..{uuid.uuid4().hex}"
        real.mkdir(mode=0o755, parents=True)
        for key, path in names.items():
            descriptor = os.open(real / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64decode(data.get(key, "")))
            (place / path).symlink_to(Path("..data", path))
        (place / "..data").symlink_to(real.name)


def claimed(scratch: Path, namespace: str, claim: str) -> Path:
    """Return the folder of a claimed volume."""
    return scratch / "volumes" / namespace / claim
