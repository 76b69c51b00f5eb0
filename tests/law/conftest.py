"""Fixtures that start real engines."""

from tests.spark import settings, spark

__all__ = ["settings", "spark"]
