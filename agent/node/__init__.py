"""The agent's own Node object: its registration, status and lease.

Must never start, stop or judge a pod. Reading order: `facts` (what the machine is), `setters` (facts to Node
status, pure), `registration` (what a new or known Node gets, pure), `registrar` and `lease` (the loops).
"""
