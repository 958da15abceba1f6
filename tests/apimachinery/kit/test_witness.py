"""Messages to the kernel that are packed by hand, read by a library that knows nothing of how: pyroute2.

What the project packs and reads itself agrees with itself also where it is wrong; and it takes no kernel with IPVS.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network
from typing import Any

from pyroute2.netlink.generic.ipvs import ipvsmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from apimachinery.kit import ipvs
from apimachinery.kit.netlink import End, Route, routes, vxlan

_GENERIC_FAMILY = 0x20


def told(kind: type[Any], message_type: int, payload: bytes) -> Any:
    """The message as pyroute2 reads it."""
    message = kind(struct.pack("=IHHII", 16 + len(payload), message_type, 1, 1, 0) + payload)
    message.decode()
    return message


def asked(payload: bytes) -> Any:
    return told(ipvsmsg, _GENERIC_FAMILY, payload)


def test_a_virtual_server_of_each_family() -> None:
    four = asked(ipvs.add_service(ipvs.Virtual("TCP", "10.96.0.1", 443), ipvs.Schedule("rr")))
    assert four["cmd"] == 1
    service = four.get_attr("IPVS_CMD_ATTR_SERVICE")
    assert [service.get_attr(f"IPVS_SVC_ATTR_{name}") for name in ("AF", "PROTOCOL", "ADDR", "PORT", "SCHED_NAME")] == [
        2,
        6,
        "10.96.0.1",
        443,
        "rr",
    ]
    assert service.get_attr("IPVS_SVC_ATTR_NETMASK") == "255.255.255.255"
    six = asked(ipvs.set_service(ipvs.Virtual("UDP", "fd00::1", 53), ipvs.Schedule("mh", 10_800, ipvs.SCHEDULER_2)))
    assert six["cmd"] == 2
    service = six.get_attr("IPVS_CMD_ATTR_SERVICE")
    assert [service.get_attr(f"IPVS_SVC_ATTR_{name}") for name in ("AF", "PROTOCOL", "ADDR", "PORT", "TIMEOUT")] == [
        10,
        17,
        "fd00::1",
        53,
        10_800,
    ]
    assert service.get_attr("IPVS_SVC_ATTR_FLAGS")["flags"] == 0x11, "persistent, and the scheduler's second option"


def test_a_real_server() -> None:
    virtual = ipvs.Virtual("SCTP", "10.96.0.9", 7)
    for packed, command, weight in (
        (ipvs.add_real(virtual, ("10.244.1.5", 8080), 3), 5, 3),
        (ipvs.set_real(virtual, ("10.244.1.5", 8080), 0), 6, 0),
        (ipvs.delete_real(virtual, ("10.244.1.5", 8080)), 7, 0),
    ):
        message = asked(packed)
        assert message["cmd"] == command
        assert message.get_attr("IPVS_CMD_ATTR_SERVICE").get_attr("IPVS_SVC_ATTR_PROTOCOL") == 132
        real = message.get_attr("IPVS_CMD_ATTR_DEST")
        found = {name: real.get_attr(f"IPVS_DEST_ATTR_{name}") for name in ("ADDR", "PORT", "FWD_METHOD", "WEIGHT")}
        assert found == {"ADDR": "10.244.1.5", "PORT": 8080, "FWD_METHOD": 0, "WEIGHT": weight}


def test_a_tunnel_and_its_far_end() -> None:
    tunnel = vxlan.Tunnel(number=4096, port=4789, local=ip_address("10.89.0.11"))
    request = vxlan.add(End("whtvx"), tunnel)
    info = told(ifinfmsg, request.type, request.payload).get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "vxlan"
    data = info.get_attr("IFLA_INFO_DATA")
    assert [data.get_attr(f"IFLA_VXLAN_{name}") for name in ("ID", "PORT", "LOCAL", "LEARNING")] == [
        4096,
        4789,
        "10.89.0.11",
        0,
    ]
    end = vxlan.FarEnd(mac="0a:00:00:00:00:07", address=ip_address("10.89.0.12"))
    request = vxlan.set_far_end(9, end)
    entry = told(ndmsg, request.type, request.payload)
    assert (entry["family"], entry["ifindex"]) == (7, 9)
    assert (entry.get_attr("NDA_LLADDR"), entry.get_attr("NDA_DST")) == ("0a:00:00:00:00:07", "10.89.0.12")


def test_a_route() -> None:
    route = Route(ip_network("10.244.3.0/24"), gateway=ip_address("10.89.0.13"), link=4, metric=9, table=119, mtu=1450)
    request = routes.add_route(route)
    message = told(rtmsg, request.type, request.payload)
    assert (message["dst_len"], message.get_attr("RTA_DST")) == (24, "10.244.3.0")
    found = [message.get_attr(f"RTA_{name}") for name in ("GATEWAY", "OIF", "PRIORITY", "TABLE")]
    assert found == ["10.89.0.13", 4, 9, 119]
    assert message.get_attr("RTA_METRICS").get_attr("RTAX_MTU") == 1450
