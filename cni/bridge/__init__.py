"""bridge: a pod's veth into the node's bridge, with addresses and routes.

Owns: the bridge named in the configuration, the veths it made (named after the attachment, alias
`cni NETWORK CONTAINER IFNAME`), the nftables table `wherry-ipmasq`. Must never touch a port it did not make,
nor decide addresses (cni.ipam does). Reading order: config, plan (pure: what the kernel shall be asked),
masquerade (the table), plugin (ADD, DEL, CHECK, GC, STATUS).
"""
