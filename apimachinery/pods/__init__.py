"""What a pod's specification asks of a node; pure, shared by the scheduler and the agent.

Both must judge alike: a node that refuses what the scheduler sends makes a loop of new pods. Must never know who asks.
Reading order: ``requests`` (resources), ``placement`` (selectors, affinity, taints), ``ports`` (host ports),
``qos`` (the class that follows from requests and limits).
"""
