"""Fixtures that start real engines."""

from tests.clients import client_of
from tests.http_server import http, rig
from tests.spark import settings, spark
from tests.stores import servers
from tests.valkey import server

__all__ = ["client_of", "http", "rig", "server", "servers", "settings", "spark"]
