"""AppArmor profiles need a kernel that enforces them.

Source: https://kubernetes.io/docs/tutorials/security/apparmor/ .
"""

from __future__ import annotations

from pathlib import Path

from agent import podspec
from agent.admission.model import NodeFacts, Refusal
from apimachinery.objects import Obj


def missing(root: Path = Path("/")) -> str:
    """Why this machine cannot enforce profiles; empty where it can."""
    try:
        enabled = (root / "sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:
        enabled = False
    mounted = (root / "sys/kernel/security/apparmor").exists()
    return "" if enabled and mounted else "AppArmor is not enabled on the host"


def check(pod: Obj, facts: NodeFacts) -> Refusal | None:
    if not _required(pod):
        return None
    if facts.apparmor_missing:
        return _refused(facts.apparmor_missing)
    for container in podspec.all_containers(pod):
        profile = podspec.apparmor_profile(pod, container) or {}
        if profile.get("type") == "Localhost" and not str(profile.get("localhostProfile") or "").strip():
            return _refused(f'invalid empty AppArmor profile name in container "{container["name"]}"')
    return None


def _required(pod: Obj) -> bool:
    holders = [podspec.spec(pod), *podspec.all_containers(pod)]
    profiles = [(holder.get("securityContext") or {}).get("appArmorProfile") for holder in holders]
    if any(profile and profile.get("type") != "Unconfined" for profile in profiles):
        return True
    annotations = pod["metadata"].get("annotations") or {}
    return any(key.startswith(podspec.APPARMOR_PREFIX) and value != "unconfined" for key, value in annotations.items())


def _refused(why: str) -> Refusal:
    return Refusal("AppArmor", f"Cannot enforce AppArmor: {why}")
