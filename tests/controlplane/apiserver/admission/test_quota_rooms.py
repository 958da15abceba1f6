"""What is kept of writes and of claims, and for how long."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apimachinery import errors
from apimachinery.kinds import POD, RESOURCE_CLAIM, RESOURCE_QUOTA
from apimachinery.pods.totals import parsed
from controlplane.apiserver.admission.quota import rooms
from controlplane.apiserver.admission.quota.account import Account
from controlplane.apiserver.admission.quota.fences import Fence
from controlplane.apiserver.admission.quota.ledger import Ledger
from controlplane.apiserver.registry import Registry
from tests.controlplane.apiserver.admission.test_quota import asked, device_claim, pod
from tests.controlplane.apiserver.admission.test_quota_histories import SPACE, Stored
from tests.controlplane.controllers.build import T0


def test_nothing_is_remembered_of_a_claim_that_went_after_the_pod_it_was_made_for() -> None:
    stored = Stored()
    stored.objects["resourceclaims"] = {}
    stored.catalog = SimpleNamespace(kinds=lambda: (POD, RESOURCE_CLAIM))
    ledger = Ledger(cast(Registry, stored), lambda: T0, lambda _account: None)
    hard = {"requests.a.b/gpu": "4", "gpu.deviceclass.resource.k8s.io/devices": "9"}
    meta = {"namespace": SPACE, "name": "q", "uid": "q"}
    stored.put(RESOURCE_QUOTA, "q", {"metadata": meta, "spec": {"hard": hard}})
    account = ledger.find(SPACE, "q")
    assert account is not None
    asker = pod("p", {"a.b/gpu": "1"})
    asker["metadata"] |= {"namespace": SPACE, "uid": "uid of p"}
    for name in ("c", "d"):
        claim = device_claim(name, {"exactly": asked("gpu")}, pod="p")
        claim["metadata"] |= {"namespace": SPACE, "uid": name}
        stored.put(RESOURCE_CLAIM, name, claim)
    stored.put(POD, "p", asker)
    stored.put(POD, "p", None)
    assert account.made == {"p": {"c", "d"}}
    stored.put(RESOURCE_CLAIM, "c", None)
    assert account.made == {"p": {"d"}}
    stored.put(RESOURCE_CLAIM, "d", None)
    assert not account.made and not account.counted


def test_a_write_that_waited_longer_than_its_client_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(SPACE, "q", parsed({"pods": "4"}), ())
    account.ready.set()
    accounts: Any = SimpleNamespace(find=lambda space, name: account)

    async def main() -> None:
        fence = Fence(SPACE)
        room = rooms.SharedRoom(accounts, "u", 1, [(account, parsed({"pods": "1"}))], fence, lambda *_: None)
        await room.begin()
        room.end()
        monkeypatch.setattr(rooms, "_PATIENCE", -1.0)
        with pytest.raises(errors.ServiceUnavailable, match="nothing was written"):
            await room.begin()
        assert not fence.turn.locked()

    asyncio.run(main())
