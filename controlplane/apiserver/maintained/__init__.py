"""The objects that every cluster has and the server itself keeps: made when missing, made again when deleted or spoilt.

Owns what upstream's kube-apiserver publishes by itself. Each module says what should be there as pure plans (what is
stored and the time in, what should be stored out); `keeping` alone writes. Never touches what people own.

Reading order: `keeping` (the loop), `cluster` (namespaces, classes, the kubernetes Service and its endpoints),
`servers` (whose endpoints those are), `authentication` (what others need to authenticate as this server does),
`aggregation` (APIServices), `custom_groups` (those of custom resources), `flowcontrol`, `addresses`, `token_use`.
"""
