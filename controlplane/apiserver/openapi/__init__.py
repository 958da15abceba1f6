"""OpenAPI: the server's own description, v3 per group version and v2 as a whole.

Owns the documents that kubectl explain, apply and create read. Schemas come from the published JSON schemas of the API
(kubernetes-validate) and of custom resources, paths from the kinds table; all are pure conversions. Documents are built
when first asked for and kept as bytes.

Reading order: `schemas` (definitions as OpenAPI schemas), `operations` (paths and their verbs), `documents`, `merging`
(with those of other servers), `gnostic` (v2 as protobuf).
"""
