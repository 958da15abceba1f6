"""Images that need no registry: made from what Debian installed here, packed as OCI layouts, loaded by ctr.

Owns: the catalog of lab images, the OCI archive writer, the cache of built archives, loading into a node's
containerd. Must never fetch anything.

Reading order: `catalog`, `rootfs`, `oci`, `load`.
"""
