"""What the agent reports about a pod, and how it reaches the API server.

Owns: phase, conditions, container statuses, quality of service (all pure), and the writer that patches only
what changed. Never asks the runtime: it is handed the records.

Reading order: `qos`, `containers`, `phase`, `conditions`, `pod_status`, `writer`.
"""
