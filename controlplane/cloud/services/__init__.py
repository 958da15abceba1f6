"""Services of type LoadBalancer: a load balancer each, its address in their status, and gone before they are.

`plan` says what a Service needs and which nodes may be behind it, `controller` asks the provider for it.
"""
