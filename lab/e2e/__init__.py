"""`wherry e2e`: what a cluster's nodes must do, tried on a lab, on the virtual machines, or on any cluster.

Owns: the trials (`test_*.py`, run by pytest), the ways onto the machines (`access`), the table at the end. Must never
know how a node does it: what is asked is upstream's documented behaviour, through kubectl and through packets.

Reading order: `cluster` (what a trial has at hand), `access`, `fixtures`, then any `test_*`.
"""
