"""Endpoints that people write for Services without a selector, mirrored into EndpointSlices, which proxies follow.

Owns: EndpointSlices labelled as managed by endpointslicemirroring-controller.k8s.io.
Must never: mirror what a selector governs, what says skip-mirror, or an old lease kept in Endpoints.
Reading order: plan, controller.
"""
