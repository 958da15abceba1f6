"""EndpointSlice: which addresses stand behind each Service that has a selector.

Owns: EndpointSlices labelled as managed by endpointslice-controller.k8s.io.
Must never: leave a ready pod out of, or in more than one of, the slices of an address family and port set,
nor wait before it says that a pod is ready or going.
Reading order: endpoints (a pod as an endpoint), plan (endpoints into slices), controller.
"""
