# SPDX-License-Identifier: BSD-3-Clause
"""What the example centre says reaches labs on the demo's systems: reservations, modules, hooks, removal of a system."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.portal import PortalUser
from tests.ring.centre import Centre, without_system
from tests.ring.system import DEEP, JURECA, Ring, logged_in
from tests.ring.test_start import started

pytestmark = [pytest.mark.ring, pytest.mark.asyncio(loop_scope="session")]

COURSE = {
    "system": "jusuf",
    "option": "jupyterlab-4.6",
    "account": "train07",
    "project": "training2620",
    "partition": "batch",
    "reservation": "hpc-python",
    "resources": {"nodes": 1, "runtime": 120},
}


@pytest_asyncio.fixture(loop_scope="session")
async def centre(ring: Ring) -> AsyncIterator[Centre]:
    """The configuration's repository; its content is back in force afterwards."""
    async with Centre.of(ring.folder) as found:
        yield found


async def test_a_student_works_in_the_reservation_of_the_course(ring: Ring) -> None:
    """The batch system knows the reservation that the form offers."""
    async with logged_in(ring, "carla") as carla:
        await started(carla, "exercise", COURSE)
        assert await carla.enter("exercise") == 200


async def test_modules_and_variables_of_chosen_software_reach_kernels(alice: PortalUser) -> None:
    """The option's setup first, then what was chosen, in the configuration's order."""
    await started(alice, "julia", JURECA | {"software": {"kernels": ["julia", "python"]}})
    assert await alice.enter("julia") == 200
    async with alice.kernel("julia") as kernel:
        reply = await kernel.execute("import os; os.environ['LOADEDMODULES'], os.environ['JULIA_NUM_THREADS']")
    loaded = reply["outputs"][-1]["data"]["text/plain"]
    assert loaded == "('Stages/2026:JupyterLab/4.6:SciPy-bundle/2026.05:Julia/1.12', 'auto')"


async def test_a_module_that_is_not_there_is_told_in_its_own_words(alice: PortalUser, centre: Centre) -> None:
    """A user reads what the module command said; the lab is there without it."""
    with centre.edited("software.yaml") as tree:
        tree["software"]["kernels"]["items"]["julia"]["modules"] = ["Julia/9.9"]
    centre.commit("A version from the future")
    await centre.until_in_force()
    await alice.save("future", JURECA | {"software": {"kernels": ["julia"]}}, "Future")
    await alice.start("future")
    assert (await alice.until("future", "ready", "failed"))["code"] == "ready"
    history = await alice.history("future", (await alice.starts("future"))[0]["start_id"])
    warnings = [event["details"] for event in history if event["code"] == "lab_step_warning"]
    assert len(warnings) == 1
    assert 'The following module(s) are unknown: "Julia/9.9"' in warnings[0]


async def test_a_lab_on_a_removed_system_goes_on(alice: PortalUser, centre: Centre) -> None:
    """A commit takes the system from everybody's choice; the lab that runs there computes, and can be stopped."""
    await started(alice, "on-deep", DEEP)
    assert await alice.enter("on-deep") == 200
    async with alice.kernel("on-deep") as kernel:
        await kernel.execute("x = 41")
        without_system(centre.path, "deep")
        centre.commit("DEEP is history")
        await centre.until_in_force()
        reply = await kernel.execute("x + 1")
        assert reply["outputs"][-1]["data"]["text/plain"] == "42"
    await alice.stop("on-deep")
    await alice.until_state("on-deep", "stopped")
    assert (await alice.starts("on-deep"))[0]["outcome"] == "stopped"
