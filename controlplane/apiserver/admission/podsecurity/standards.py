"""Which checks a level has in which version: the Pod Security Standards as a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from apimachinery.objects import Obj
from controlplane.apiserver.admission.podsecurity import baseline, restricted
from controlplane.apiserver.admission.podsecurity.findings import Check, Finding
from controlplane.apiserver.admission.podsecurity.levels import BASELINE, PRIVILEGED, LevelVersion
from controlplane.apiserver.admission.podsecurity.restricted import not_in_user_namespaces, not_on_windows


class Row(NamedTuple):
    """since: minor version -> the check from then on. instead_of: the baseline check that it makes superfluous."""

    since: Mapping[int, Check]
    instead_of: str = ""

    def at(self, minor: int) -> Check | None:
        begun = [version for version in self.since if version <= minor]
        return self.since[max(begun)] if begun else None


# In the order in which violations are told: by name, baseline first.
BASELINE_CHECKS: Mapping[str, Row] = {
    "appArmorProfile": Row({0: baseline.app_armor}),
    "capabilities_baseline": Row({0: baseline.capabilities}),
    "hostNamespaces": Row({0: baseline.host_namespaces}),
    "hostPathVolumes": Row({0: baseline.host_paths}),
    "hostPorts": Row({0: baseline.host_ports}),
    "hostProbesAndHostLifecycle": Row({34: baseline.probe_hosts}),
    "privileged": Row({0: baseline.privileged}),
    "procMount": Row({0: baseline.proc_mount, 35: baseline.proc_mount_outside_user_namespaces}),
    "seLinuxOptions": Row({0: baseline.selinux_1_0, 31: baseline.selinux_1_31}),
    "seccompProfile_baseline": Row({0: baseline.seccomp_annotations, 19: baseline.seccomp}),
    "sysctls": Row(
        {0: baseline.sysctls_1_0, 27: baseline.sysctls_1_27, 29: baseline.sysctls_1_29, 32: baseline.sysctls_1_32}
    ),
    "windowsHostProcess": Row({0: baseline.windows_host_process}),
}
RESTRICTED_CHECKS: Mapping[str, Row] = {
    "allowPrivilegeEscalation": Row(
        {8: restricted.privilege_escalation, 25: not_on_windows(restricted.privilege_escalation)}
    ),
    "capabilities_restricted": Row(
        {22: restricted.capabilities, 25: not_on_windows(restricted.capabilities)}, "capabilities_baseline"
    ),
    "procMount_restricted": Row({35: baseline.proc_mount}, "procMount"),
    "restrictedVolumes": Row({0: restricted.volumes}, "hostPathVolumes"),
    "runAsNonRoot": Row({0: restricted.non_root, 35: not_in_user_namespaces(restricted.non_root)}),
    "runAsUser": Row({23: restricted.run_as_user, 35: not_in_user_namespaces(restricted.run_as_user)}),
    "seccompProfile_restricted": Row(
        {19: restricted.seccomp_named, 25: not_on_windows(restricted.seccomp_named)}, "seccompProfile_baseline"
    ),
}


@cache
def checks(wanted: LevelVersion) -> tuple[Check, ...]:
    """The checks of a level at a version; a version to come has those of the newest one."""
    if wanted.level == PRIVILEGED:
        return ()
    own = {name: row for name, row in RESTRICTED_CHECKS.items() if wanted.level != BASELINE and row.at(wanted.minor)}
    overridden = {row.instead_of for row in own.values()}
    rows = [row for name, row in BASELINE_CHECKS.items() if name not in overridden]
    found = (row.at(wanted.minor) for row in (*rows, *own.values()))
    return tuple(check for check in found if check is not None)


def violations(wanted: LevelVersion, metadata: Obj, spec: Obj) -> list[Finding]:
    """What a pod (or a template) breaks of a level."""
    results = (check(metadata, spec) for check in checks(wanted))
    return [finding for finding in results if finding is not None]
