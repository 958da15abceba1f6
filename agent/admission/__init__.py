"""May this pod run on this node at all? Asked once, before its first container.

The scheduler decided elsewhere and earlier, and a static pod or one with `spec.nodeName` was never scheduled, so the
node looks again: it alone answers for what it runs. Refused pods are Failed for good, with upstream's reason and words.

Owns the checks and their order. Must never start or stop anything: it says which pods must make room. Reading order:
`model` (what is decided from what), `chain` (the checks in upstream's order), then the checks: `sysctls`,
`predicates` (operating system, resources, placement, ports), `apparmor`, `features`; `preemption` (who makes
room for a critical pod); `gate` gathers the facts.
"""
