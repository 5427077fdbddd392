"""The bridge as an OAuth 2.1 resource server (MCP 2025-11-25 and 2026-07-28, "Authorization"): whose JWT a request carries.

    resource.py   asked by the gate for each request: the principal, or how to say no (RFC 6750, RFC 9728)
    verifier.py   one token against the keys (RFC 7519, RFC 8725)
    keys.py       the keys of an issuer, as its JWK Set says (RFC 7517)
    issuer.py     where they come from, and when they are asked for again: never in a request
    claims.py     what a token says of its bearer, and whether that is what was asked for

Nothing here is imported before `--oidc-issuer` or `--jwks` is given: PyJWT with cryptography takes 0.2 s and 8 MiB.
"""
