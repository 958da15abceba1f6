"""portmap: ports of the node that lead to a pod (hostPort), chained after the plugin that gave the pod its addresses.

Owns: the nftables table `wherry-hostports`, or its containers' chains in iptables; the records beside the daemon's
socket from which they can be written anew. Must never touch Services (their rules come first), another table, or
another plugin's chain. Reading order: config, plan (who has which port), nftables and iptables (pure: holders to text),
table and chains (the appliers), records (on disk), rules (both together, and the healer), plugin.
"""
