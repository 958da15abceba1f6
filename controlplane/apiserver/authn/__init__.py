"""Who is asking: turns what a connection and a request carry into a `User`.

Owns the ways in (headers of a server in front, x509 client certificate, static token file, service account JWT or the
token of a Secret, bootstrap token, anonymous), impersonation, and the issuing of service account tokens. Never decides
what a user may do (that is `authz`) and never reads the store by itself: objects a token is bound to are looked up
through a function it is given.

Reading order: `user`, `front_proxy`, `certificates`, `token_file`, `keys`, `service_account`, `legacy_token`,
`bootstrap_token`, `authenticator`, `impersonation`, `reviews`.
"""
