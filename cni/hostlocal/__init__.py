"""host-local: addresses of one node from ranges in the configuration, one file per address.

Owns: `<dataDir>/<network>/`, in the form of the reference plugin (file name = address, content = container
id, CRLF, interface; `last_reserved_ip.N`; `lock`), so that either plugin can take over from the other. Must
never talk to the kernel. Reading order: ranges (pure), store (the directory), plugin.
"""
