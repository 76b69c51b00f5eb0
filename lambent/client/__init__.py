"""Read intents from a service: ``IntentClient``, and ``AsyncIntentClient`` for asyncio.

    with IntentClient("redis://127.0.0.1:6390/0", user_key) as intents:
        reading = intents.get("anna")
        if reading.probabilities["purchase"] > 0.3: ...

It reads the store itself, by the contract in the reference (``reference/redis.md``), and needs redis-py with hiredis: the
extra ``lambent[client]``. Nothing else in the core imports it.
"""

from lambent.client.asynchronous import AsyncIntentClient
from lambent.client.reading import Reading, Reason
from lambent.client.sync import IntentClient

__all__ = ["AsyncIntentClient", "IntentClient", "Reading", "Reason"]
