"""Nodes and the machines behind them.

`plan` says how a node should read by what the cloud knows; `initialisation` carries it out for nodes that are new, and
`lifecycle` for those that have fallen silent: off, they are tainted; gone, they are deleted.
"""
