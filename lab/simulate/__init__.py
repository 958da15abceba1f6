"""Simulated nodes beside real ones: Node objects with a heartbeat and no machine, on which pods go through stages.

Owns: the Nodes, Leases and pod statuses of nodes that carry the label `wherry.io/simulated`, and what `wherry simulate`
deploys to fill them. Must never: touch another node, or a pod that is bound to one. The rest of the control plane is
real and knows nothing of it: pods are made, scheduled, counted and collected as everywhere.

Reading order: `stages` (what may happen to pods and nodes, as a file says it), `plan` (which stage is next, and the
objects; pure), `runner` (watches and writes).
"""
