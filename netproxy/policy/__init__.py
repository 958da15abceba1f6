"""NetworkPolicies: which connections of this node's pods may begin.

Owns: one nftables table per family (names.policy_table), whatever mode serves Services; it judges after they were
translated. Must never: judge what the node itself sends to its pods, nor an answer within a connection that was
allowed.

Reading order: views (API objects to the model) → tracker (what is selected by what, and what changed) → plan (pieces
of rules) → base (what is fixed) → enforcer (when, and the kernel) → shortfall (what the kernel lacks). verdict answers
the same question without a kernel: for `wherry trace`, and as the tests' oracle. The packet's way is in
netproxy/README.md.
"""
