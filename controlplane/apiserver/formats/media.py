"""Media types: of objects, and of patches, of which custom resources know fewer than built-in kinds."""

from __future__ import annotations

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"
# Those that change what is there, and never make it.
PLAIN_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC)
PATCHES = (*PLAIN_PATCHES, APPLY_YAML)
# Upstream merges by Go types, and a custom resource has none.
CUSTOM_PATCHES = (JSON_PATCH, MERGE_PATCH, APPLY_YAML)
