"""Files of settings in TOML, each of the form of a struct."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from lambent.errors import SettingsError

Form = TypeVar("Form")


def read_toml(path: Path, form: type[Form], remedy: str) -> Form:
    """What a file holds.

    Args:
        path: the file.
        form: what it has to be like.
        remedy: what to do where it is not.

    Raises:
        SettingsError: it cannot be read, is not TOML, or is of another form.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=form)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).", remedy) from error
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{path}: {error}.", remedy) from error
