"""Tokens that lie in Secrets: those of service accounts, filled in, and bootstrap tokens, signing and ended.

Owns: what is in Secrets of type kubernetes.io/service-account-token, the signatures in kube-public/cluster-info, and
the end of bootstrap tokens whose time is over.
Must never: fill a Secret for another account than it names, or keep a signature of a token that may not sign.
Reading order: plan, accounts (service accounts' Secrets), bootstrap (signatures and ends), unused.
"""
