"""Devices: of claims (dynamic resource allocation), which drivers prepare as the scheduler allocated them, and of
device plugins, which are counted by the node and given away here.

Owns: the sockets at which both register and the one that says who has what, the claims that are prepared on this node,
who has which device of a plugin, the ResourceSlices of drivers that are gone. Must never act on a pod. Reading order:
`messages` (pure), `registration`; `statefile`; of claims `drivers`, `state`, `claims` and `cdi` (what a container
gets); of plugins `plugin_messages`, `plugin_plan` (pure), `allocations`, `plugins`; of both `resource_messages` (pure)
and `pod_resources`, which monitoring agents ask, and `health`, for pods' statuses.
"""
