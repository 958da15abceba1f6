"""Every key of upstream's documentation is read or refused by name: none is accepted and then ignored in silence.

So is every capability that a runtime may hand over.

Source: https://www.cni.dev/plugins/current/ (bridge, host-local, portmap, bandwidth), https://www.cni.dev/docs/conventions/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apimachinery.kit.netlink import Netlink
from cni import loopback
from cni.bandwidth import config as bandwidth
from cni.bridge import config as bridge
from cni.host import Host
from cni.hostlocal import plugin as hostlocal
from cni.portmap import config as portmap
from cni.skel import Request
from cni.types import DECODING_FAILURE, UNSUPPORTED_FIELD, CniError

PARSE: dict[str, Callable[[Request], object]] = {
    "bridge": bridge.parse,
    "host-local": hostlocal.parse_config,
    "portmap": portmap.parse,
    "bandwidth": bandwidth.parse,
}
PREVIOUS = {"interfaces": [{"name": "cni0"}], "ips": [{"address": "10.244.1.5/24"}], "routes": [], "dns": {}}
SET = {"subnet": "10.7.0.0/24"}
PORTS = [{"hostPort": 80, "containerPort": 80, "protocol": "udp", "hostIP": "10.9.0.1"}]
RATES = {"ingressRate": 8, "ingressBurst": 8, "egressRate": 8, "egressBurst": 8}
# A configuration is a base and one of these; what is read makes the parsed configuration another than the base's.
READ: dict[str, dict[str, dict[str, Any]]] = {
    "bridge": {
        "bridge": {"bridge": "br9"},
        "isGateway": {"isGateway": True},
        "isDefaultGateway": {"isDefaultGateway": True},
        "forceAddress": {"forceAddress": True},
        "mtu": {"mtu": 1400},
        "hairpinMode": {"hairpinMode": True},
        "promiscMode": {"promiscMode": True},
        "portIsolation": {"portIsolation": True},
        "enabledad": {"enabledad": True},
        "disableContainerInterface": {"disableContainerInterface": True},
        "macspoofchk": {"macspoofchk": True},
        "ipMasq": {"ipMasq": True},
        "ipMasqBackend": {"ipMasqBackend": "iptables"},
        "vlan": {"vlan": 100},
        "vlanTrunk": {"vlanTrunk": [{"id": 100}]},
        "preserveDefaultVlan": {"preserveDefaultVlan": True},
        "dns": {"dns": {"nameservers": ["10.0.0.10"]}},
        "args.cni.mac": {"args": {"cni": {"mac": "02:00:00:00:00:07"}}},
        "runtimeConfig.mac": {"runtimeConfig": {"mac": "02:00:00:00:00:07"}},
    },
    "host-local": {
        "subnet": {"ipam": {"subnet": "10.2.0.0/24"}},
        "rangeStart": {"ipam": {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}},
        "rangeEnd": {"ipam": {"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9"}},
        "gateway": {"ipam": {"subnet": "10.1.0.0/24", "gateway": "10.1.0.9"}},
        "ranges": {"ipam": {"ranges": [[SET]]}},
        "routes": {"ipam": {"subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}},
        "dataDir": {"ipam": {"subnet": "10.1.0.0/24", "dataDir": "/x"}},
        "resolvConf": {"ipam": {"subnet": "10.1.0.0/24", "resolvConf": "/x"}},
        "args.cni.ips": {"args": {"cni": {"ips": ["10.1.0.9"]}}},
        "runtimeConfig.ips": {"runtimeConfig": {"ips": ["10.1.0.9"]}},
        "runtimeConfig.ipRanges": {"runtimeConfig": {"ipRanges": [[SET]]}},
    },
    "portmap": {
        "snat": {"snat": False},
        "backend": {"backend": "iptables"},
        "masqAll": {"masqAll": True},
        "markMasqBit": {"markMasqBit": 0},
        "externalSetMarkChain": {"externalSetMarkChain": "KUBE-MARK-MASQ"},
        "conditionsV4": {"conditionsV4": ["-s", "10.0.0.0/8"]},
        "conditionsV6": {"conditionsV6": ["-s", "fd00::/8"]},
        "runtimeConfig.portMappings": {"runtimeConfig": {"portMappings": PORTS}},
    },
    "bandwidth": {
        **{key: RATES for key in RATES},
        "runtimeConfig.bandwidth": {"runtimeConfig": {"bandwidth": RATES}},
    },
}
GUID = {"runtimeConfig": {"infinibandGUID": "c2:11:22:33:44:55:66:77"}}
REFUSED: dict[str, dict[str, dict[str, Any]]] = {
    "bridge": {
        "infinibandGUID": GUID,
        "deviceID": {"runtimeConfig": {"deviceID": "0000:00:01.0"}, "ipam": {"type": "host-local"}},
        "dns": {"runtimeConfig": {"dns": {"servers": ["10.0.0.10"]}}, "ipam": {"type": "elsewhere"}},
        "ips": {"runtimeConfig": {"ips": ["10.1.0.9"]}},
        "vlanID": {"runtimeConfig": {"vlanID": 7}, "ipam": {"type": "host-local"}},
    },
    "portmap": {
        "infinibandGUID": GUID,
        "bandwidth": {"runtimeConfig": {"bandwidth": RATES}},
    },
    "bandwidth": {
        "infinibandGUID": GUID,
        "portMappings": {"runtimeConfig": {"portMappings": PORTS}},
        "shapedSubnets": {"shapedSubnets": ["10.0.0.0/8"], **RATES},
        "unshapedSubnets": {"unshapedSubnets": ["10.0.0.0/8"], **RATES},
    },
}


def parsed(plugin: str, more: dict[str, Any]) -> object:
    ipam = {"ipam": {"subnet": "10.1.0.0/24"}} if plugin == "host-local" else {}
    return PARSE[plugin](Request("ADD", "c1", "/x", "eth0", config={"name": "net", **ipam, **more}, previous=PREVIOUS))


@pytest.mark.parametrize(("plugin", "key"), [(plugin, key) for plugin, keys in READ.items() for key in keys])
def test_a_key_that_is_read_changes_something(plugin: str, key: str) -> None:
    assert parsed(plugin, READ[plugin][key]) != parsed(plugin, {})


@pytest.mark.parametrize(("plugin", "key"), [(plugin, key) for plugin, keys in REFUSED.items() for key in keys])
def test_a_key_that_is_not_read_is_refused_by_name(plugin: str, key: str) -> None:
    with pytest.raises(CniError, match=key) as refused:
        parsed(plugin, REFUSED[plugin][key])
    assert refused.value.code == UNSUPPORTED_FIELD


def test_what_another_plugin_for_addresses_may_act_on_is_left_to_it() -> None:
    asked = {"runtimeConfig": {"pool": "blue", "ips": ["10.1.0.9"]}}
    assert parsed("bridge", {**asked, "ipam": {"type": "elsewhere"}}) == parsed("bridge", {})


def test_what_the_plugin_that_asks_for_addresses_is_asked_is_not_host_locals() -> None:
    assert parsed("host-local", GUID) == parsed("host-local", {})


def test_loopback_acts_on_no_capability() -> None:
    with pytest.raises(CniError, match="infinibandGUID") as refused, Netlink() as kernel:
        loopback.add(Request("ADD", "c1", "/x", "lo", config=GUID), Host(kernel, lambda: None))
    assert refused.value.code == UNSUPPORTED_FIELD


@pytest.mark.parametrize(
    ("plugin", "wrong"),
    [
        *((plugin, {"runtimeConfig": 7}) for plugin in PARSE),
        *((plugin, {"args": wrong}) for plugin in ("bridge", "host-local") for wrong in ("mac", {"cni": [1]})),
        ("bridge", {"ipam": ["x"]}),
        ("bridge", {"dns": ["x"]}),
        ("bandwidth", {"runtimeConfig": {"bandwidth": 7}}),
    ],
)
def test_what_has_to_be_an_object_is_one(plugin: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(CniError, match="is not an object") as refused:
        parsed(plugin, wrong)
    assert refused.value.code == DECODING_FAILURE
