"""Endpoints (core/v1): which addresses stand behind each Service that has a selector, as clients older than
EndpointSlices read it.

Owns: the Endpoints named as such a Service, and removes those whose Service is gone.
Must never: touch the Endpoints of a Service without a selector, which people write themselves.
Reading order: subsets (addresses into subsets), plan, controller.
"""
