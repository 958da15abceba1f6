"""The Node as it will be registered: what a pod is judged by where there is no API server, or none has answered yet."""

from __future__ import annotations

from agent.node.facts import read_facts
from agent.node.registration import initial_node
from agent.node.setters import Observation, set_capacity, set_features
from agent.settings import AgentSettings
from apimachinery.objects import Obj


def expected_node(settings: AgentSettings) -> Obj:
    """Labels, taints, capacity and allocatable by this machine and the settings."""
    facts = read_facts(settings.root_dir)
    seen = Observation(now="", facts=facts, runtime=None, node_name=settings.node_name, max_pods=settings.max_pods)
    status: Obj = {}
    for setter in (set_capacity, set_features):
        setter(status, seen)
    labels, taints = settings.register_labels, settings.register_taints
    return initial_node(settings.node_name, facts.architecture, labels, taints, settings.provider_id, status)
