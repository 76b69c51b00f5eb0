"""The speed and serving layer: from an event on the stream to an intent that others can read.

store, connection   the store's interface over Valkey or Redis; ``commit`` is the one transaction of a batch
worker              the loop: read, admit, fold, predict, decide, commit
batch, users        a micro-batch of entries; users' bytes to the fold's state and back
model, predict      the exported model; which session runs on which version
archiver, archive   streams to the Delta tables ``log`` and ``intents``, exactly once
server, collector   HTTP: events in, intents out
replay, doors       a recorded log through the same doors
status, lag         how all of it does, by what the store says; verdict: what is wrong
law                 every user: the oracle's profile against the live one
embedded            a real Valkey server in this process's care
"""
