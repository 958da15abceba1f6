"""cni: the pod network. A CNI plugin any runtime can call, and the routes that join the nodes' pod networks.

Owns: the plugins `bridge`, `portmap`, `bandwidth`, `host-local` and `loopback` (CNI specification 1.1, results from
0.3.0 on), the addresses on disk, the node's bridge and pod veths, the conflist in the runtime's directory, and the
routes and the vxlan device that join nodes. Must never touch Services (netproxy's), another plugin's files, or a route
it did not set.

Reading order: types, skel (a request), hostlocal/ (addresses), bridge/ (plan, then plugin), portmap/ (host ports),
bandwidth/, plugins (the list), bin/stub.pl -> daemon (how a runtime's call arrives; the daemon is fast, main is the
same work without a daemon), node/ (Node objects -> routes), app (composition root).
"""
