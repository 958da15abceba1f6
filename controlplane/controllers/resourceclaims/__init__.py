"""ResourceClaims, the control side: made for pods from templates, and given back when nobody uses them any more.

Owns: the claims made for pods, `status.resourceClaimStatuses` of pods, entries of `status.reservedFor` whose pods have
ended, and the finalizer that keeps an allocated claim.
Must never: take an allocation from a claim that a pod may still use. Allocating is the scheduler's work.
Reading order: apimachinery.pods.devices (which claims a pod uses), plan, controller; tainted, eviction (pods whose
devices are tainted).
"""
