"""Liveness, readiness and startup probes.

Owns: running the checks (exec through the runtime; HTTP, TCP and gRPC from the node) at their pace, counting to their
thresholds, and the verdict per container. Never kills or writes a status: a changed verdict wakes the pod's worker.

Reading order: `counter` (pure thresholds), `checks` (one attempt), `prober` (one
container's probes), `probers` (all of them), `verdicts` (what they say), `metrics` (what /metrics/probes shows).
"""
