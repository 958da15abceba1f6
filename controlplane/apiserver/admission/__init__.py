"""Built-in admission: steps every write passes between defaults and validation, and after it.

Owns the steps that look beyond one object: NamespaceLifecycle, ServiceAccount, DefaultTolerationSeconds,
Priority, TaintNodesByCondition, StorageObjectInUseProtection, PersistentVolumeClaimResize, RuntimeClass. A
step gets an Admission and changes its obj in place or raises; it never writes anything.

Reading order: chain (their order), then one module per step.
"""
