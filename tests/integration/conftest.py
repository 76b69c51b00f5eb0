"""Fixtures that start real engines."""

from tests.http_server import http, rig
from tests.spark import settings, spark
from tests.valkey import server

__all__ = ["http", "rig", "server", "settings", "spark"]
