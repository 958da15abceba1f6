"""Links taken out of service, and those that are somebody's already."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, NetlinkError, Request, links
from cni.bridge import plugin as bridge
from cni.host import RETIRED_GROUP, Host, free_retired_now, retire
from cni.skel import Request as Call
from cni.types import CniError
from tests.cni import kernel


@dataclass
class Refusing:
    """A kernel that renames nothing that is up, as before Linux 6.2."""

    up: bool = True
    asked: list[Request] = field(default_factory=list)

    def do(self, *requests: Request) -> None:
        for request in requests:
            self.asked.append(request)
            if self.up and len(self.asked) == 1:
                raise NetlinkError(errno.EBUSY, request.asked)
            self.up = False


def test_what_cannot_be_renamed_while_it_is_up_is_taken_down_first() -> None:
    fake = Refusing()
    name = retire(cast(Netlink, fake), 7)
    down = links.change(7, up=False, master=0, group=RETIRED_GROUP)
    assert fake.asked[1:] == [down, links.change(7, name=name)]


def call(container: str, pod: object) -> Call:
    config: dict[str, Any] = {"name": "whtnet", "bridge": "whtbr0"}
    return Call("ADD", container, str(pod), "eth0", config=config)


@pytest.mark.kernel
def test_an_attachment_that_stands_is_not_taken_away_by_another_of_its_name() -> None:
    """Nor by one that finds its interface's name taken in the pod."""
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(2, "p") as (one, two):

        def scenario() -> None:
            with Netlink() as opened:
                host = Host(opened, lambda: free_retired_now(opened))
                bridge.add(call("c1", one), host)
                for again in (call("c1", two), call("c2", one)):
                    with pytest.raises(CniError, match="already exists"):
                        bridge.add(again, host)
                with Netlink(one) as inside:
                    link = inside.link("eth0")
                    assert link and link.up
                    near = opened.link(link.peer)
                    assert near and near.up and near.alias == "cni whtnet c1 eth0"
                assert len([found for found in opened.links() if found.kind == "veth"]) == 1
                bridge.delete(call("c1", one), host)
                assert not [found for found in opened.links() if found.kind == "veth"]

        netns.call(node, scenario)
