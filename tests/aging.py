"""Tables made older than they are, so that what waits for days can be tested at once."""

from __future__ import annotations

import os
import re
from pathlib import Path

DAY_MS = 86_400_000
_TIMES = re.compile(r'("(?:deletionTimestamp|modificationTime|timestamp)":)(\d{13})')


def age(path: str, days: int) -> None:
    """Make every file and every commit of a Delta table so many days older. Its log must still hold every commit."""
    for checkpoint in Path(path).glob("_delta_log/*checkpoint*"):
        checkpoint.unlink()
    for log in Path(path).glob("_delta_log/*.json"):
        log.write_text(_TIMES.sub(lambda found: f"{found[1]}{int(found[2]) - days * DAY_MS}", log.read_text()))
    for crc in Path(path).glob("_delta_log/.*.crc"):  # Hadoop's, of what the log was
        crc.unlink()
    for file in [*Path(path).glob("**/*.parquet"), *Path(path).glob("_delta_log/*.json")]:
        then_s = file.stat().st_mtime - days * DAY_MS / 1_000
        os.utime(file, (then_s, then_s))


def data_files(path: str) -> set[str]:
    """The data files that are there, whatever the table says of them; from its folder on."""
    return {str(file.relative_to(path)) for file in Path(path).glob("**/*.parquet") if "_delta_log" not in str(file)}
