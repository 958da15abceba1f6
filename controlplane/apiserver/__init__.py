"""The API server: Kubernetes v1.36's API over the store, for clients that nobody adapted.

Owns the HTTP surface, every object's life, and every watch. Must never schedule, reconcile or touch a node:
it stores what clients decide. The core (request path, cache, registry) meets the edges (who may, encodings,
streams) in what edge supplies.

    http/ -> pipeline: authenticate, authorize, route -> reading | writing -> registry -> store
                                                              cache <- store's batches -> watchers

Reading order: app (what is built from what), request, encoding, admission_request
and supplied (the types), http/, router, pipeline, reading,
writing, registry/, cache/, resources/ with strategies/, defaults/ and rules/, admission/; custom/ and structural/
(custom resources), aggregation/ (what other servers serve).
"""
