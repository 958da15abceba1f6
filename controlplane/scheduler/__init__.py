"""The scheduler: gives every pending pod a node.

Owns: the binding of pods whose `spec.schedulerName` names one of our profiles, their `PodScheduled` condition and
the events `Scheduled` and `FailedScheduling`. Must never: write anything else of a pod or node, walk all pods to
place one (the cache counts as they come and go), or wait for a timer on the way from a pod's watch event to its
binding.

Reading order: `extract` (frozen views of pods and nodes), `cluster` (incremental counts over them),
`framework` (the shape of a plugin and a profile), `plugins`, `cycle` (one pure decision),
`preemption`, `queue` (what is tried when), `loop` (events in, bindings out), `app` (composition).
"""
