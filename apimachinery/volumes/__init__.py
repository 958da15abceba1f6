"""What claims and volumes say to each other; pure, shared by API server, scheduler, controllers and agent.

Binder and scheduler choose volumes for the same claims, so they must choose alike. Must never know who asks.
Reading order: `claims` (which a pod uses, which class, how far a binding is), `matching` (which volume suits).
"""
