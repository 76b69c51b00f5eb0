"""The contract with those who read the store by a client of their own."""

from __future__ import annotations

import binascii
from pathlib import Path

from infra.reference.events import intent_example, intent_fields
from infra.reference.markdown import code, markdown, table
from lambent import keys
from lambent.rights import rules
from realtime import ids
from realtime.commit import EXPIRY_MS
from realtime.trim import INTENTS_KEPT_MS

READER_RIGHTS = rules("reader")
"""An ACL user's, who reads and nothing else."""

READERS = (("Python", "python", "reader.py"), ("Node", "javascript", "reader.mjs"), ("Java", "java", "Reader.java"))
FOLDER = "reference/readers"
"""Below ``docs``: where the readers are."""

EXAMPLE_KEY = bytes(range(keys.USER_KEY_BYTES))
EXAMPLE_PARTITIONS = 64
EXAMPLE_IDS = ("anna", "208", "Zoë", "a b@example.org")


def redis_page() -> str:
    """The keys and bytes that readers may count on."""
    days, minutes = EXPIRY_MS // 86_400_000, INTENTS_KEPT_MS // 60_000
    return f"""# Read the store without us

Any service can read intents from Valkey or Redis itself, in any language, with the client that it has. This page is the
contract: what stands here holds for every store whose `{keys.META}` has `schema` {keys.SCHEMA}. In Python there is a
[typed client](../how-to/read-intents.md), which does all of it.

## From a shop's id to its key

1. **The key of the pseudonyms** is {keys.USER_KEY_BYTES} bytes; the setting `user_key` holds them in hex. Whoever looks visitors up needs it, and whoever has it
   can tell whose a pseudonym is: give it to no one else.
2. **The pseudonym**, `USER` below: {markdown(keys.pseudonym.__doc__).splitlines()[0]} The raw id is its UTF-8 bytes, as they are: no case is folded, no blank cut off.
3. **The partition**, `p` below: {markdown(keys.partition.__doc__)} The CRC is of the pseudonym's 22 characters. P is the field
   `partitions` of the hash `{keys.META}`; it is fixed when a store is made, so a reader asks once.
4. **The key of the intent**: `{keys.intent(0, "USER").replace("0", "p")}`, the number in the place of `p`. The braces are part of it: they are the hash tag
   that puts all keys of a partition into one slot of a Cluster, so one `MGET` may ask for many visitors of one partition.

```python
import base64, binascii, hmac

key = bytes(range({keys.USER_KEY_BYTES}))
user = base64.urlsafe_b64encode(hmac.digest(key, "anna".encode(), "sha256")[:16]).rstrip(b"=").decode()
p = binascii.crc_hqx(user.encode(), 0) % {keys.SLOTS} % {EXAMPLE_PARTITIONS}

from lambent import keys

assert user == keys.pseudonym("anna", key)
assert p == keys.partition(user, {EXAMPLE_PARTITIONS})
assert f"intent:{{{{{{p}}}}}}:{{user}}" == keys.intent(p, user)
```

To try an implementation on, with the key `{EXAMPLE_KEY.hex()}` and {EXAMPLE_PARTITIONS} partitions:

{table(("raw id", "pseudonym", "slot", "its key"), map(_vector, EXAMPLE_IDS))}
## The keys

{table(("key", "type", "what it holds", "how long it stays"), ((code(one.pattern), one.kind, markdown(one.meaning), one.lives) for one in keys.KEYS if one.public))}
Of the hash `{keys.META}`, readers may count on `partitions` and `schema`. [All other keys](keys.md), and the bytes of profiles and
live records, are Lambent's own: they change from version to version, and nobody else should read them.

## The intent

One JSON object in UTF-8, without a byte order mark:

```json
{intent_example()}
```

{intent_fields()}
A field that is not needed is left out where it is 0 or empty. A number is a JSON number: read times, which go beyond 32
bits, as 64-bit integers or doubles. Pass over fields that you do not know: later versions add some.

## What absence and age mean

* **There is no key**: no event of this visitor has been answered in the last {days} days; or the first one is being answered just now;
  or another key made the pseudonym. Late events, which fill the profile only, leave the intent as it is.
* **Age** is the reader's clock less `ingest_ms`. An intent is what the visitor was about to do as of that event; nothing renews it
  while the visitor is silent, and a session ends after 30 minutes of silence. So decide how old an intent may be for your use.
* **An intent never goes back**: each one that is written speaks of a later entry of the log. A rebuild writes one only where there is none.
* **Has it seen my event?** `XADD` answers with the entry's id: milliseconds, `-`, a number. Once the id in `{keys.position(0).replace("0", "p")}` is
  not before it, the event has been answered. While that is `{ids.HELD.decode()}`, the partition is being rebuilt. Over HTTP, `POST /v1/events?wait=MS` waits for it.

## Follow all intents

The stream `{keys.intents(0).replace("0", "p")}` has one entry a batch of the worker, with one field, `i`: a JSON array of intents as above, in the order in
which the log has their events. Each intent is in it exactly once, written in the same transaction as the visitor's key and the position.
Follow it with `XREAD BLOCK` from the last id that you have seen (`$` at first). Each follower keeps its own place; there are no
consumer groups. An entry stays until it is archived and {minutes} minutes old, in a store that is full until it is archived: whoever was away for longer finds what is missing in the
table [`intents`](tables.md#intents).

## The rights of a reader

```text
ACL SETUSER reader on >PASSWORD {READER_RIGHTS}
```

That is all that a reader needs, of Valkey, or of Redis 7 or later, on one server or a Cluster. Many clients announce themselves
with `CLIENT SETINFO`, and take no offence where it is refused. [The users of all parts](../how-to/secure-the-store.md) are made
from the same declaration.

## Readers

Each prints what a visitor is about to do. `LAMBENT_STORE_URL` and `LAMBENT_USER_KEY` are the settings' variables.

{"".join(map(_reader, READERS))}
## What may change

* **Within a schema**: the intent gets more fields; `model` and the names of actions and intents are as the shop sets them; keys that
  are not on this page come, go and change.
* **With the next schema**: anything, and `schema` says so. A store is never changed to another schema while workers of the old one
  run. A careful reader looks at `schema` when it asks for `partitions`.
"""


def _vector(raw_id: str) -> tuple[str, ...]:
    user = keys.pseudonym(raw_id, EXAMPLE_KEY)
    slot = binascii.crc_hqx(user.encode(), 0) % keys.SLOTS
    key = keys.intent(keys.partition(user, EXAMPLE_PARTITIONS), user)
    return (code(raw_id), code(user), str(slot), code(key))


def _reader(reader: tuple[str, str, str]) -> str:
    title, language, name = reader
    text = (Path(__file__).parents[2] / "docs" / FOLDER / name).read_text()
    return f'### {title}\n\n[The file](readers/{name}).\n\n```{language} title="{FOLDER}/{name}"\n{text}```\n\n'
