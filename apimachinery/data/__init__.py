"""Facts about the v1.36 API that no library ships, as data files; `fields` reads them.

`kubernetes-1.36-wire.json`: for every message of the API its fields, each as "number name type flags". Flags: `*`
repeated; `?` a pointer, so zero and absent differ; `!` inlined into its parent in JSON; `+` written to JSON even when
zero although optional; `~` left out of JSON when zero although its type, or that the API requires it, would have it
written. Must hold no code but the reader.
"""
