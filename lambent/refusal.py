"""Why the store is not to be had, in words: a name, a certificate, a password, a right."""

from __future__ import annotations

import ssl

import redis

from lambent.errors import StoreError

TRUST = "Name the file of whoever signed it in LAMBENT_STORE_URL: ...?ssl_ca_certs=FILE."
CERTIFICATES = {
    9: ("is not valid yet", "Is this machine's clock right?"),
    10: ("has expired", "Give the server a new one."),
    18: ("is signed by nobody that this machine trusts", TRUST),
    19: ("is signed by nobody that this machine trusts", TRUST),
    20: ("is signed by nobody that this machine trusts", TRUST),
    62: ("is for another name", "Use a name in LAMBENT_STORE_URL that the certificate has."),
    64: ("is for another address", "Use a name or an address in LAMBENT_STORE_URL that the certificate has."),
}
"""By OpenSSL's number: what is wrong with a certificate, and what to do."""


def refusal(error: Exception) -> StoreError:
    """What is said of an error of redis-py. The URL is not repeated, since it may hold a password."""
    behind = _behind(error)
    if isinstance(behind, ssl.SSLCertVerificationError):
        what, remedy = CERTIFICATES.get(behind.verify_code, (f"is refused ({behind.verify_message})", TRUST))
        return StoreError(f"The store's certificate {what}.", remedy)
    if isinstance(behind, ssl.SSLError):
        return StoreError(f"There is no TLS with the store ({behind.reason}).", "Is that its port for TLS?")
    if isinstance(error, redis.exceptions.AuthenticationError):
        remedy = "Look at LAMBENT_STORE_URL, and at the server's users (infra/users.acl)."
        return StoreError("The store does not let this user in, or not with this password.", remedy)
    if isinstance(error, redis.exceptions.NoPermissionError):
        return StoreError(f"The store's user may not do this: {error}.", "Look at its role's rights (infra/users.acl).")
    if isinstance(error, (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)):
        return StoreError(f"The store cannot be reached ({error}).", "Is it running? Start one: lambent store.")
    return StoreError(f"The store refused a command ({error}).")


def _behind(error: BaseException) -> BaseException:
    """The error of TLS that redis-py has put its own around; the error itself where there is none."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLError):
            return at
        at = at.__cause__ or at.__context__
    return error
