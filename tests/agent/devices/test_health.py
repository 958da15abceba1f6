"""How devices are, as pods' statuses say it."""

from __future__ import annotations

from agent.devices import state
from agent.devices.claims import Claims
from agent.devices.drivers import Drivers
from agent.devices.health import allocated
from agent.devices.messages import ClaimRef, Device
from agent.devices.state import Held
from tests.agent.devices.test_plugins import GPU, asking, live
from tests.agent.harness import container, pod
from tests.waiting import until


@live
async def test_devices_are_what_their_plugin_said_last_and_those_of_claims_unknown(world):
    plugin = await world.plugin("g0", "g1")
    devices = (Device("pool", "d0", ("r",), ("x=d0",)), Device("pool", "d1", ("s/t",)))
    held = Held(ClaimRef("default", "u", "gpus"), {"uid-p"}, {"gpu.example.com": devices})
    file = world.directory / "dra_manager_state"
    file.write_bytes(state.dump([held]))
    claims = Claims(None, file, Drivers(None, "n"))
    claims.load()
    entries = [{"name": "g", "request": request} for request in ("r", "s", "nothing", "")] + [{"name": "other"}]
    asks = container("c", resources={"claims": entries})
    uses = [{"name": "g", "resourceClaimName": "gpus"}, {"name": "other", "resourceClaimName": "not-prepared"}]
    subject = pod("p", containers=[asking("a", 2), container("b"), asks], resourceClaims=uses)
    await world.plugins.allocate(subject)

    def of_plugin(**health: str) -> list:
        return [{"name": GPU, "resources": [{"resourceID": one, "health": how} for one, how in health.items()]}]

    def of_claim(name: str, *ids: str) -> dict:
        return {"name": f"claim:{name}", "resources": [{"resourceID": one, "health": "Unknown"} for one in ids]}

    unnamed = "gpu.example.com/pool/d1"
    assert allocated(subject, world.plugins, claims) == {
        "a": of_plugin(g0="Healthy", g1="Healthy"),
        "c": [of_claim("g/r", "x=d0"), of_claim("g/s", unnamed), of_claim("g", "x=d0", unnamed)],
    }
    told: list[int] = []
    world.plugins.changed.append(lambda: told.append(1))
    plugin.say(g0=False, g1=True)
    await until(lambda: told)
    assert allocated(subject, world.plugins, claims)["a"] == of_plugin(g0="Unhealthy", g1="Healthy")
    await plugin.stop()
    await until(lambda: world.plugins.amounts()[GPU] == (2, 0))
    assert allocated(subject, world.plugins, claims)["a"] == of_plugin(g0="Unhealthy", g1="Healthy"), "it says no more"
