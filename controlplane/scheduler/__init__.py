"""The scheduler: gives every pending pod a node.

Owns: the binding of pods whose `spec.schedulerName` names one of our profiles, their `PodScheduled` condition and
nomination, the eviction of pods that make room, and the events `Scheduled`, `FailedScheduling` and `Preempted`.
Must never: write anything else of a pod or node, walk all pods to place one (the cache counts as they come and go), or
wait for a timer on the way from a pod's watch event to its binding.

Reading order: `extract` and `terms` (frozen views of pods and nodes), `nodeinfo`, `tally` and `cluster`
(incremental counts over them), `framework` (the shape of a plugin and a profile), `plugins`, `board` (what is
remembered of nodes), `cycle` (one pure decision), `queue` (what is tried when), `watching` (events in), `loop`
(decisions), `binding` and `reports` (what is written), `configuration` and `profiles` (what a file asks for),
`extenders` and `asking`, `app` (composition).
"""
