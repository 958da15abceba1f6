"""Cluster DNS: names of Services and pods, answered on the node of whoever asks, all other names forwarded.

Owns: the DNS addresses on the loopback device, the sockets there, the answers. Knows Services and EndpointSlices from
the proxy's own informers, so an answer is as new as the proxy's rules. Must never write a rule (the modes') nor an API
object.

    query ──> server ──> replies (asked before, nothing changed since) ───────────────────────> answer
                 └─ miss ─> plain, else wire ─> records (pure: directory + question → answer) ─┘
                                                └─ not a name of the cluster ─> forward ─> upstream, cache

Reading order: directory (what is known), records (what is answered), plain and wire (bytes), replies, forward, server,
app.
Source: the Kubernetes DNS specification 1.1; where it is silent, what CoreDNS' kubernetes plugin does.
"""
