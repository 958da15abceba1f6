"""Certificate signing requests for the signers that Kubernetes itself speaks of: approved, signed, cleaned away.

Owns: the approval of kubelets' client certificates, the certificates of kubernetes.io/ signers, old requests.
Must never: sign what nobody approved, approve what the requester may not have, or touch another's signer.
Reading order: plan (what each signer demands; which requests are of no use any more), approving, signing, cleaning.
"""
