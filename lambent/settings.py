"""Every setting: from ``LAMBENT_*`` variables, then ``.env``, then ``lambent.toml``, then the default here.

An unknown name is refused wherever it stands, since a misspelt setting that is ignored is worse than an error.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from lambent.errors import SettingsError
from lambent.keys import USER_KEY_BYTES
from lambent.taxonomy import Taxonomy, load_taxonomy
from lambent.traffic import Rules, load_rules

PREFIX = "LAMBENT_"

AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())]


def _origins(text: str) -> str:
    for one in text.split():
        if not _ORIGIN.fullmatch(one):
            raise ValueError(f"{one!r} is no origin, such as https://shop.example or http://localhost:3000")
    return text


_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
Origins = Annotated[str, AfterValidator(_origins)]


class Settings(BaseSettings):
    """What a run of Lambent can be told. Durations are in milliseconds, sizes in bytes, as the names say."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", toml_file="lambent.toml", extra="forbid", frozen=True, validate_default=True
    )

    root: AbsolutePath = Field(Path("var"), description="Folder for everything that Lambent keeps on this machine.")
    tables: str = Field(
        "", description="Root of the Delta tables, a folder or an object-store URL; default: ROOT/tables."
    )
    artifacts: str = Field(
        "",
        description="Folder of what workers and servers load: exported models, products, the catalogue; default: ROOT/models.",
    )
    store_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6390/0"),
        description="Valkey or Redis: redis://, rediss:// or unix://; of a Cluster any node.",
    )
    partitions: int = Field(64, ge=1, le=1024, description="Partitions of the log; fixed when a store is made.")
    tile_ms: int = Field(3_600_000, ge=1_000, description="Tile width on the ingest clock; cut-offs are its multiples.")
    user_key: SecretStr | None = Field(
        None, description="Key of the pseudonyms, 32 bytes in hex; default: the file ROOT/user.key, made at first use."
    )
    taxonomy: Path | None = Field(None, description="TOML file of the event types and intents; default: a shop.")
    traffic: Path | None = Field(
        None, description="TOML file of the rules that flag bots and tests; default: a shop's."
    )
    quality: Path | None = Field(
        None, description="TOML file of the tables' limits before training; default: a shop's."
    )
    gate: Path | None = Field(
        None, description="TOML file of what a model has to be like to become champion; default: models/gate.toml."
    )
    retention_days: int = Field(
        7, ge=1, description="Days that maintenance keeps files for which no newer version of a table has a use."
    )
    spark_master: str = Field("local[*]", description="Master of the Spark sessions.")
    spark_memory: str = Field("2g", description="Memory of the Spark driver (and of local executors).")
    mlflow_uri: str = Field("", description="MLflow tracking and registry; default: SQLite under ROOT.")
    mlflow_ui: str = Field(
        "", description="URL of MLflow's pages, for links to them; default: MLFLOW_URI, if it is one."
    )
    http_host: str = Field("127.0.0.1", description="Address that the server listens on.")
    http_port: int = Field(8642, ge=0, le=65535, description="Port that the server listens on.")
    http_max_body_bytes: int = Field(
        1024 * 1024, ge=1024, description="Bytes that the body of a request to the server may have."
    )
    http_max_batch: int = Field(
        1_000, ge=1, le=100_000, description="Events or users that a request to the server may name."
    )
    http_rate_per_s: int = Field(
        10_000,
        ge=0,
        description="Events and users that an API key may name in a second, at each server; 0: no limit.",
    )
    http_max_streams: int = Field(100, ge=0, description="Streams of new intents that may be open at a server.")
    http_stream_buffer: int = Field(
        10_000, ge=1, description="Intents that wait for a stream's reader before it is sent away as too slow."
    )
    http_heartbeat_ms: int = Field(
        15_000, ge=100, description="How long a stream is silent before it says that it is still there."
    )
    http_cors_origins: Origins = Field(
        "",
        description="Origins whose pages may call the server from a browser, with blanks between; empty: none may.",
    )
    api_keys: Path | None = Field(
        None, description="JSON file of the server's API keys, hashed; default: ROOT/api-keys.json (lambent key)."
    )
    api_key: SecretStr | None = Field(None, description="API key that lambent replay sends to the server.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of a worker's or archiver's /metrics; 0: none.")
    stream_max_events: int = Field(
        1_000_000, ge=1_000, description="Events a partition's stream may hold before the collector answers 429."
    )
    acknowledge: Literal["memory", "disk", "replica"] = Field(
        "memory",
        description="Where an event must be before the server answers 202: in the store's memory, on its disk, or in a replica's memory.",
    )
    acknowledge_ms: int = Field(
        3_000, ge=1, le=60_000, description="How long the server waits for disk or replica before it answers 503."
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of the sources: the call, the environment, ``.env``, ``lambent.toml``."""
        return (
            named["init_settings"],
            named["env_settings"],
            named["dotenv_settings"],
            TomlConfigSettingsSource(settings_cls),
        )

    @property
    def tables_root(self) -> str:
        """Root of the Delta tables, without a slash at its end."""
        return self.tables.rstrip("/") or str(self.root / "tables")

    @property
    def artifacts_root(self) -> Path:
        """Folder of the exported models, one folder a version."""
        return Path(self.artifacts) if self.artifacts else self.root / "models"

    @property
    def mlflow_tracking_uri(self) -> str:
        """Where MLflow keeps runs and the registry."""
        return self.mlflow_uri or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def api_keys_file(self) -> Path:
        """The file of the API keys."""
        return self.api_keys or self.root / "api-keys.json"

    def table(self, name: str) -> str:
        """Path or URL of one Delta table."""
        return f"{self.tables_root}/{name}"

    def load_taxonomy(self) -> Taxonomy:
        """The domain's event types and intents."""
        return load_taxonomy(self.taxonomy)

    def load_traffic(self) -> Rules:
        """The rules that flag what is no shopper's traffic."""
        return load_rules(self.traffic)

    def user_key_bytes(self) -> bytes:
        """The key of the pseudonyms, made and kept (mode 0600) where none is set.

        Raises:
            SettingsError: the key is not 32 bytes in hex.
        """
        text = self.user_key.get_secret_value() if self.user_key else _kept_key(self.root / "user.key")
        try:
            key = bytes.fromhex(text.strip())
        except ValueError:
            key = b""
        if len(key) != USER_KEY_BYTES:
            raise SettingsError("The key of the pseudonyms is not 32 bytes in hex.", "Make one: openssl rand -hex 32.")
        return key


def _kept_key(path: Path) -> str:
    """Read the key's file; the first caller makes it, and two that start at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(USER_KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


def load_settings(**overrides: object) -> Settings:
    """Read the settings from all sources.

    Args:
        overrides: values that win over every source.

    Raises:
        SettingsError: a name is unknown or a value is not valid; the message names it, never its value.
    """
    _refuse_unknown_variables()
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"Setting {name!r}: {first['msg']}.", _known_names()) from error
    except ValueError as error:  # lambent.toml is not TOML
        raise SettingsError(f"lambent.toml: {error}.", "Mend that line.") from error


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise SettingsError(f"Environment variable {unknown[0]} is not a setting.", _known_names())


def _known_names() -> str:
    return "Settings are: " + ", ".join(sorted(Settings.model_fields)) + "."
