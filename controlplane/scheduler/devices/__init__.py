"""Devices that ResourceClaims ask for (dynamic resource allocation, KEP-4381): which there are, who has them, and what
a claim would get on a node.

Owns: the views of slices and claims, the search for devices, the results that are written into a claim's status, and
what was promised to pods on their way.
Must never: write an allocation for a claim that has one, or hand out a device that somebody has.
Reading order: slices (what drivers publish), pools (what of it a node reaches), wishes (what claims ask for), taken
(who has what), capacity and constraints, search (the decision), results; readiness (devices that are made ready before
a pod is bound); holdings, which reads informers and writes.
"""
