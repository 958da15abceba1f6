"""`wherry test`: the linters and every test tier side by side, each part in a machine of its own.

Owns: how the tests are dealt out, the enclosures they run in, one summary, and clearing away what tests made.
Must never know what a test is about.

What tests make carries the prefix `wht` (namespaces, links, labs, cgroups, directories). In an enclosure it is gone
with the enclosure; of tests that were started without one and killed, `sweep` clears it away.

Reading order: `plan` (which files run together, pure), `enclosure` (a machine of its own), `run`, `report`,
`sweep`.
"""
