"""Lambent: what each shopper is about to do, said for every live event with calibrated probabilities.

This package is the core that both layers share. It imports no engine: the standard library, numpy, msgspec and
pydantic-settings are all that it needs, so that a reader of intents carries neither Spark nor TensorFlow.
Only ``client``, which such readers use, and ``cluster``, by which all layers connect to the store, import redis.
"""

__version__ = "0.1.0"
