"""Kills of a node's agent and containerd in the middle of what they do, and what is left of that.

Owns: the inventory of everything that pods leave on a node (`inventory`), and the loops that kill (`loops`). Run it
as `python -m benchmarks.kills`; the short form is a test of the cluster tier.
"""
