"""Who is asking: turns what a connection and a request carry into a `User`.

Owns the four ways in (x509 client certificate, static token file, service account JWT, anonymous),
impersonation, and the issuing of service account tokens. Never decides what a user may do (that is
`authz`) and never reads the store by itself: objects a token is bound to are looked up through a function it is given.

Reading order: `user`, `certificates`, `token_file`, `keys`, `service_account`, `authenticator`,
`impersonation`.
"""
