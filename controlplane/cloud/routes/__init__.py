"""The cloud's routes to the nodes' pod ranges: `plan` compares them with the nodes, `controller` asks for the rest and
tells each node's NetworkUnavailable condition.
"""
