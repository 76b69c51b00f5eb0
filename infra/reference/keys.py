"""The page of the store's keys."""

from __future__ import annotations

from infra.reference.markdown import code, markdown, table
from lambent import keys


def keys_page() -> str:
    """Every key of the store."""
    rows = (
        (code(key.pattern), key.kind, markdown(key.meaning), key.written_by, key.read_by, key.lives)
        for key in keys.KEYS
    )
    return f"""# Keys of the store

`{{p}}` is a partition's number, in braces in the key too, so that all keys of a partition lie in one slot of a Cluster and
can change in one transaction. `USER` is a pseudonym.

{table(("key", "type", "what it holds", "written by", "read by", "how long it stays"), rows)}
## From a shop's id to its keys

{markdown(keys.pseudonym.__doc__)}

{markdown(keys.partition.__doc__)} P is the field `partitions` of `{keys.META}`.

```python
import base64, binascii, hmac, os

key = os.urandom(32)  # the same everywhere: the setting user_key, or the file ROOT/user.key
digest = hmac.digest(key, "anna".encode(), "sha256")[:16]
user = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
p = binascii.crc_hqx(user.encode(), 0) % {keys.SLOTS} % 64

from lambent import keys

assert user == keys.pseudonym("anna", key)
assert p == keys.partition(user, 64)
assert keys.intent(p, user) == f"intent:{{{{{{p}}}}}}:{{user}}"
```
"""
