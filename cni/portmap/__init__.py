"""portmap: ports of the node that lead to a pod (hostPort), chained after the plugin that gave the pod its addresses.

Owns: the nftables table `wherry-hostports`, the records beside the daemon's socket from which it can be written anew.
Must never touch Services (their rules come first) or another table. Reading order: config, plan (pure: records to
rules), records (on disk), rules (the applier and the healer), plugin.
"""
