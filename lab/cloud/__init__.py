"""The cloud that a lab's nodes run in: the machine itself, as a provider for `controlplane/cloud`.

Owns the pool of load balancers' addresses, the file that remembers who has which, and these addresses on the nodes'
links: one node announces an address (ARP, NDP) and its netproxy does the rest; when that node fails its health checks
another takes the address over. Must never touch other addresses, nor ask the API server for anything.

Reading order: instances, plan, memory, packets, announcer, balancers, daemon (`python -m lab.cloud`).
"""
