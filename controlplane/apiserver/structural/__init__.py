"""Schemas of custom resources, and what follows from one for an object. Pure: values in, values out.

Owns everything that a version of a CustomResourceDefinition says by its openAPIV3Schema. Whether such a schema may be
is said by `rules/apiextensions`; who serves objects by it comes here by one door, `custom`.

Reading order: `reading` (the parts of a schema), `node` (a schema compiled), then what is done with an object in the
order in which a request does it: `pruning`, `defaulting`, `embedded`, `conforming` (the words, with `numbers`,
`textformats` and `correlating`), `fitting` (the same without), `unique`, `scaled`, and
x-kubernetes-validations: `declared` (types), `seen` (values), `expressions`, `validations`; `custom` puts it together.
`limits` is how much of all that is told, `weighing` how much work it is, `once` for what is worked out of a schema.
`published` is the type for the OpenAPI documents and for who owns which field.
"""
