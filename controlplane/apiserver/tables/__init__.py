"""Tables: how kinds look in columns when a client (kubectl get) asks for `as=Table`.

Owns the columns and the text of the cells of every built-in kind, as upstream prints them. Pure: an object and the time
go in, a list of cells comes out; nothing here knows HTTP. Column descriptions are references into the API schema
(`core.v1.PodStatus#podIP`) wherever upstream takes them from there.

Reading order: `spec` (what a column is), `texts` (ages, selectors, lists), then one module per family of kinds (`pods`,
`workloads`, `core`, `storage`, `network`, `cluster`), `plain` (for all others), `render` (their JSON). Which kind has
which is said by its row (controlplane.apiserver.resources).
"""
