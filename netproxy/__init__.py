"""netproxy: makes Services work on one host, as kube-proxy does, and NetworkPolicies.

Owns, by its mode: one nftables table per family (names.NFT_TABLE); kube-proxy's iptables chains; IPVS, its device and
sets; or sockets at Services' addresses. In every mode the table of policies (policy/);
the UDP flows that point to endpoints which are gone; the health check node ports. Must never: write before both caches
have synced, delete a rule it did not make, learn its own state by reading rules back, or import agent, cni or
controlplane.

Reading order, along the way of one change: views (API objects to the model) → tracker (what changed) →
topology (which endpoints) → a mode's plan (nftables/, iptables/, ipvs/, userspace/: which pieces) → ledger (which of
them differ) → diff (text, or steps) → apply (the kernel) → conntrack. modes lists the modes and chooses one, proxier
orders one sync, app builds it all. The packet's way is in README.md.
"""
