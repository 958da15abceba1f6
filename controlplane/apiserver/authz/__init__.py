"""Who may: RBAC and the node authorizer, upstream's default policy, escalation checks, access reviews.

Owns every decision about permission. Policies are indexed from the registry's change events, so that a check
touches only the rules that can concern its user, and decisions are remembered until a policy changes. Never
authenticates and never stores anything but the default policy.

Reading order: `rules` (what one rule covers), `rbac` (the index and the decision), `graph` and `node` (what a
kubelet may see), `chain` (the order of authorizers), `escalation`, `default_policy`,
`reviews`, `node_restriction` (and its `node_tokens`), `devices`.
"""
