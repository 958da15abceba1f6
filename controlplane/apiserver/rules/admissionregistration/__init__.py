"""Who else is asked about a write: webhooks, policies and their bindings.

Expressions are looked at for what needs no compiler: that they are there, named and not too long.
"""
