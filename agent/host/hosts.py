"""The /etc/hosts file each pod gets; pure.

Source: https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/ .
"""

from __future__ import annotations

from apimachinery.objects import Obj

_HEADER = "# Kubernetes-managed hosts file.\n"
_HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)


def hosts_file(pod: Obj, pod_ips: tuple[str, ...], short: str, domain: str, node_hosts: str) -> str:
    """The file's text; `node_hosts` is the node's own file, used as it is by pods in the node's network."""
    spec = pod.get("spec", {})
    if spec.get("hostNetwork"):
        text = _HOST_NETWORK_HEADER + node_hosts
    else:
        names = f"{short}.{domain}\t{short}" if domain else short
        lines = [f"{address}\t{hosts}\n" for address, hosts in _LOCAL]
        lines += [f"{address}\t{names}\n" for address in pod_ips]
        text = _HEADER + "".join(lines)
    return text + _aliases(spec.get("hostAliases") or [])


def _aliases(aliases: list[Obj]) -> str:
    if not aliases:
        return ""
    lines = [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) + "\n" for alias in aliases]
    return "\n# Entries added by HostAliases.\n" + "".join(lines)
