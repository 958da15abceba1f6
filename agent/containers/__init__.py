"""One sandbox or container at a time: how the runtime is told, and what surrounds a start and a stop.

Owns: pods as CRI messages, image pulls, lifecycle hooks, grace periods, last words, and how many starts there are at a
time. Must never decide whether or when a container is to run.

Reading order: `sandbox_config`, `container_config` and `security` (messages, pure), `images`, `sandbox` and
`start` (making one), `hooks`, `kill`, `termination` (what a container left to say), `cleaning`, `slots`
and `interrupt` (waiting, and no longer waiting).
"""
