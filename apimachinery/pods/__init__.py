"""What a pod's specification says, read in one place; pure, shared by API server, scheduler, controllers and agent.

All must judge alike: a node that refuses what the scheduler sends makes a loop of new pods. Must never know who asks.
Reading order: `totals` and `requests` (resources), `qos`, `images` (pull policy), `placement` (selectors,
affinity, taints), `ports` (host ports).
"""
