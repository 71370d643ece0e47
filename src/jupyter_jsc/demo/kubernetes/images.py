# SPDX-License-Identifier: BSD-3-Clause
"""The images on one node: pulled once, refused if no registry has them. Called by :mod:`.pods`."""

import asyncio
import re
import time
from collections.abc import Callable

from jupyter_jsc.demo.kubernetes.faults import Faults
from jupyter_jsc.demo.kubernetes.objects import Tree
from jupyter_jsc.demo.kubernetes.settings import ClusterSettings
from jupyter_jsc.demo.kubernetes.statuses import ContainerState

_REFERENCE = re.compile(
    r"^[a-z0-9]+([._-][a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)
_BACK_OFF_MOST_S = 300.0
Say = Callable[[str, str, bool], None]
"""Takes reason, message, and whether it is a warning."""


class Images:
    """What a node has."""

    def __init__(self, settings: ClusterSettings, faults: Faults) -> None:
        self._settings, self._faults = settings, faults
        self._present = set(settings.present)

    async def pull(self, container: Tree, state: ContainerState, say: Say, publish: Callable[[], None]) -> None:
        """Return once the image of *container* is there; never, if it cannot be had."""
        image, pause = container["image"], self._settings.pull_back_off_s
        while not self._had(image, container["imagePullPolicy"], say):
            if why := self._cannot(image, container["imagePullPolicy"]):
                self._never(why, state, say, publish)
                await asyncio.Event().wait()
            say("Pulling", f'Pulling image "{image}"', False)
            began = time.monotonic()
            await asyncio.sleep(self._faults.pull_s)
            if self._exists(image):
                self._present.add(image)
                took = f"{round((time.monotonic() - began) * 1000)}ms"
                size = "Image size: 104857600 bytes."
                say(
                    "Pulled", f'Successfully pulled image "{image}" in {took} ({took} including waiting). {size}', False
                )
                return
            self._failed(image, state, say, publish)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _BACK_OFF_MOST_S)

    def _had(self, image: str, policy: str, say: Say) -> bool:
        if image not in self._present or policy == "Always":
            return False
        say("Pulled", f'Container image "{image}" already present on machine', False)
        return True

    def _exists(self, image: str) -> bool:
        known = self._settings.images
        return image not in self._faults.missing_images and (known is None or image in known)

    def _cannot(self, image: str, policy: str) -> tuple[str, str, str] | None:
        """Return reason, message and event for what is not even tried."""
        if not _REFERENCE.match(image):
            why = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference format'
            return "InvalidImageName", why, "InspectFailed"
        if policy == "Never":
            why = f'Container image "{image}" is not present with pull policy of Never'
            return "ErrImageNeverPull", why, "ErrImageNeverPull"
        return None

    @staticmethod
    def _never(why: tuple[str, str, str], state: ContainerState, say: Say, publish: Callable[[], None]) -> None:
        state.waits(why[0], why[1])
        publish()
        say(why[2], why[1], True)
        say("Failed", f"Error: {why[0]}", True)

    @staticmethod
    def _failed(image: str, state: ContainerState, say: Say, publish: Callable[[], None]) -> None:
        why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        error = f"rpc error: code = NotFound desc = {why}"
        say("Failed", f'Failed to pull image "{image}": {error}', True)
        state.waits("ErrImagePull", error)
        publish()
        say("Failed", "Error: ErrImagePull", True)
        state.waits("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}')
        publish()
        say("BackOff", f'Back-off pulling image "{image}"', False)
        say("Failed", "Error: ImagePullBackOff", True)
