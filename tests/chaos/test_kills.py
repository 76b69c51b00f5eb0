"""Parts that are killed (``kill -9``) at random in the midst of their work, while a producer of its own sends events."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.conftest import Report
from tests.chaos.killing import kill_parts, not_void

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
KILLS = 52


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_doubled(tmp_path: Path, report: Report, seed: int) -> None:
    took_s = not_void(lambda again: kill_parts(tmp_path / str(again), KILLS, again), seed)
    for name, own in took_s.items():
        report.recovered(f"{name} killed", own)
