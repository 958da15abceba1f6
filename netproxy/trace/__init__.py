"""Where a connection goes and why, from the same decisions as the rules: for `wherry trace`.

Owns nothing in the kernel. Must never: decide anything by itself that a planner decides; it asks topology for
endpoints and policy.verdict for policies.

Reading order: model → resolve (words to an address and a node) → plan (the way).
"""
