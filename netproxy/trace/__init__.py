"""Where a connection goes and why, from the same decisions as the rules: for `wherry trace`.

Owns nothing in the kernel. Must never: choose an endpoint or judge a policy by itself; it asks topology and
policy.verdict. What the rules of each proxy mode make of a Route is told in `services`, and held against the rules by a
test.

Reading order: model → resolve (words to an address and a node) → services (a Route's address) → plan (the way).
"""
