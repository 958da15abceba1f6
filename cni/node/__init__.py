"""The network between nodes, kept by each node for itself: Node objects in, routes of protocol 0x77 out.

    pod --- cni0 (own CIDR) --- node --- route: other CIDR via that node's InternalIP --- other node --- cni0
    --- pod
                                  \\--- rest of the cluster CIDR: unreachable, so it never leaves by the
                                  default route

Or, in mode vxlan, by a device that sends pods' packets in UDP. Owns: routes and rules marked with PROTOCOL, the vxlan
device, the conflist, the bridge before the first pod, the masquerade rule, the flow table, and that all of these and
pods' links stay as made. Must never touch a route with another mark. Reading order: model (extract), plan, overlay
(pure), watch (which notifications matter; pure), routes, device, ports, sysctls, table, masquerade, flows (apply), own,
between (what belongs together), network (the loop).
"""
