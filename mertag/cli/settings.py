"""The configuration file: what options are when neither the command line nor the environment gives them.

A TOML file, ``config.toml`` in the user's configuration folder, or the one that ``$MERTAG_CONFIG`` names::

    model = "/models/mine"        # for every command that has the option

    [tag]                         # for one command, named as on the command line
    write-id3 = true
    exclude = ["Audiobooks/*"]

An option that no command has is an error: a misspelt setting must not be ignored in silence.
"""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from mertag.errors import ConfigError

SHARED = ("model", "device")
"""Options that may stand above all tables."""

COMMAND_TABLES = ("tag", "undo", "remove", "info", "train", "evaluate", "export", "plot")


def config_path() -> Path:
    """Return where the configuration file is looked for."""
    named = os.environ.get("MERTAG_CONFIG")
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_config_path("mertag") / "config.toml"


def for_command(command: str, options: Set[str]) -> dict[str, object]:
    """Return the settings of one command.

    Parameters
    ----------
    command : str
        Its name.
    options : set of str
        The options it has, with underscores.

    Returns
    -------
    dict
        From option (with underscores) to value; empty if there is no file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or holds something unknown.
    """
    path = config_path()
    content = _read(path)
    known = sorted({*SHARED, *COMMAND_TABLES})
    found: dict[str, object] = {}
    for key, value in content.items():
        if key in SHARED:
            if key in options:
                found[key] = value
        elif key not in COMMAND_TABLES or not isinstance(value, dict):
            raise ConfigError(f"{path}: unknown setting {key!r}; known at the top are: {', '.join(known)}")
    table = content.get(command, {})
    assert isinstance(table, dict)  # checked above
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in options or name == "help":
            raise ConfigError(f"{path}: [{command}] has no option {key!r}; see `mertag {command} --help`")
        found[name] = value
    return found


def _read(path: Path) -> dict[str, object]:
    import tomllib

    try:
        text = path.read_bytes().decode("utf-8")
        return tomllib.loads(text)
    except FileNotFoundError:
        if os.environ.get("MERTAG_CONFIG"):
            raise ConfigError(f"$MERTAG_CONFIG names {path}, which does not exist") from None
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise ConfigError(f"{path}: the configuration is not valid TOML: {error}") from error
