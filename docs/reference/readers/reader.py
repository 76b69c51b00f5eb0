"""python reader.py ID: what the visitor is about to do, with redis-py."""

import base64
import binascii
import hmac
import json
import os
import sys

import redis

store = redis.Redis.from_url(os.environ["LAMBENT_STORE_URL"])
digest = hmac.digest(bytes.fromhex(os.environ["LAMBENT_USER_KEY"]), sys.argv[1].encode(), "sha256")
user = base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
p = binascii.crc_hqx(user.encode(), 0) % 16384 % int(store.hget("lambent:meta", "partitions"))
intent = json.loads(store.get(f"intent:{{{p}}}:{user}") or "null")
print(json.dumps(intent))
