"""What Kubernetes' conformance tests ask of the control loops, step by step as a client does, without nodes of our own.

Several flows share one control plane, each in a namespace of its own. What needs containers or packets is tried in
`tests/cluster`.
"""
