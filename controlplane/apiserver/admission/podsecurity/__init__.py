"""Pod security: what pods of a namespace may do, by the level and version that its labels name.

Owns the Pod Security Standards (privileged, baseline, restricted; v1.0 to latest) as a table of checks, and the
admission plugin that enforces them, warns and annotates. Checks are pure functions of a pod's metadata and spec.
Source: the Pod Security Standards and KEP-2579.

Reading order: levels (labels to policy), baseline and restricted (the checks), standards (which of them a version
has), plugin.
"""
