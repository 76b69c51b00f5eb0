"""MkDocs calls this (``hooks`` in ``mkdocs.yml``)."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File

from infra.reference import made_pages


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks which files there are."""
    for path, text in made_pages():
        files.append(File.generated(config, path, content=text))
    return files
