"""The command blocks of a Markdown page, so that tests can run what the page says."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def command_blocks(page: Path) -> list[str]:
    """The page's ``bash`` blocks, in order."""
    return re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
