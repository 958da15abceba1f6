"""bandwidth: bounds what a pod receives and sends, chained after the plugin that made the pod's link.

    node ── token bucket ── pod's link in the node ── pod          what the pod receives
    pod ── pod's link in the node ── ifb ── token bucket ── node   what it sends

Owns: the queues on the node's end of the link, which go with it, and one ifb link for each pod whose sending is bounded
(named after the attachment, alias `cni-bandwidth NETWORK CONTAINER IFNAME`). Must never touch another link's queues.
Reading order: config, plugin.
"""
