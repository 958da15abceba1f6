"""Services by this process itself, for kernels that have nothing else: it listens at their addresses and relays.

A cluster IP is made this host's own by a route of type local, so that packets to it end here; who connects is relayed
to an endpoint, which sees this node as the source. Slower than any other mode, ends with the process, and no
NetworkPolicy can see through it. Reading order: plan (pure: one Service), choice (pure: one client), tcp, udp, apply.
"""
