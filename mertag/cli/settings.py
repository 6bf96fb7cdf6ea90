"""What options are when the command line does not give them: from the environment, then from a file.

A TOML file, ``config.toml`` in the user's configuration folder, or the one that ``$MERTAG_CONFIG`` names::

    model = "/models/mine"        # for every command that has the option

    [tag]                         # for one command, named as on the command line
    write-tags = true
    exclude = ["Audiobooks/*"]

An option that no command has, and a value of another type, is an error: a misspelt setting must not be ignored in
silence. Of a variable, ``MERTAG_<COMMAND>_<OPTION>``, which may be another program's, it is a warning.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Union, get_args, get_origin, get_type_hints

from mertag.errors import ConfigError

SHARED = ("model", "device")
"""Options that may stand above all tables."""

SECOND_NAMES = {"write_tags": "write_id3"}
"""Options that have two names on the command line: the second one, and the parameter."""


def config_path() -> Path:
    """Return where the configuration file is looked for."""
    named = os.environ.get("MERTAG_CONFIG")
    if named:
        return Path(named)
    import platformdirs

    try:
        return platformdirs.user_config_path("mertag") / "config.toml"
    except RuntimeError:  # no HOME, and the user is not in the list of users: so there is no such file
        return Path(os.devnull)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What values an option takes; a path, or one of several words, is a str here. `many`: it may be repeated."""

    type: type[bool | int | float | str]
    many: bool = False

    def takes(self, value: object) -> bool:
        """Return whether a value from a TOML file is of this kind; one value may stand for a list of one."""
        values = value if self.many and isinstance(value, list) else [value]
        allowed = (int, float) if self.type is float else (self.type,)
        return all(type(v) in allowed for v in values)  # exact: a bool is no int here

    def __str__(self) -> str:
        name = {bool: "true or false", int: "a whole number", float: "a number"}.get(self.type, "text in quotes")
        return f"{name}, or a list of such" if self.many else name


def kinds_of(command: Callable[..., object]) -> dict[str, Kind]:
    """Return what values each parameter of a command takes, from its annotations."""
    return {name: _kind(hint) for name, hint in get_type_hints(command).items() if name != "return"}


def _kind(hint: object) -> Kind:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not types.NoneType)
    many = get_origin(hint) is list
    if many:
        (hint,) = get_args(hint)
    return Kind(type=next((plain for plain in (bool, int, float) if hint is plain), str), many=many)


def for_command(command: str, options: Mapping[str, Kind], *, commands: Collection[str]) -> dict[str, object]:
    """Return the settings that the file has for one command, by option (with underscores); none if there is no file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or holds something unknown (what is not in `options`, or a table for
        none of the `commands`) or a value of another type.
    """
    path = config_path()
    content = _read(path)
    given: dict[str, object] = {}

    def take(key: str, value: object, where: str) -> None:
        name = _parameter(key)
        if not options[name].takes(value):
            raise ConfigError(f"{path}: {where}{key} must be {options[name]}, not {value!r}")
        given[name] = [value] if options[name].many and not isinstance(value, list) else value

    for key, value in content.items():
        if key in SHARED:
            if key in options:
                take(key, value, "")
        elif key not in commands or not isinstance(value, dict):
            known = ", ".join(sorted({*SHARED, *commands}))
            raise ConfigError(f"{path}: unknown setting {key!r}; known at the top are: {known}")
    table = content.get(command, {})
    assert isinstance(table, dict)  # checked above
    for key, value in table.items():
        if _parameter(key) not in options or key == "help":
            raise ConfigError(f"{path}: [{command}] has no option {key!r}; see `mertag {command} --help`")
        take(key, value, f"[{command}] ")
    return given


def lists_from_environment(command: str, options: Mapping[str, Kind]) -> dict[str, list[str]]:
    """Return the options that variables give as lists: texts one a line (they may hold spaces), numbers by spaces."""
    lists: dict[str, list[str]] = {}
    for name, kind in options.items():
        value = os.environ.get(variable(command, name), "")
        if kind.many and value:
            lists[name] = [part for part in value.split("\n" if kind.type is str else None) if part]
    return lists


def unknown_variables(command: str, options: Mapping[str, Kind]) -> list[str]:
    """Return the variables that look as if they set an option of this command, and do not."""
    known = {variable(command, name) for name in (*options, *(n for n, of in SECOND_NAMES.items() if of in options))}
    return sorted(name for name in os.environ if name.startswith(variable(command, "")) and name not in known)


def _parameter(key: str) -> str:
    """Return the parameter that a key of the file stands for."""
    name = key.replace("-", "_")
    return SECOND_NAMES.get(name, name)


def variable(command: str, option: str) -> str:
    """Return the variable that sets an option of a command."""
    return f"MERTAG_{command}_{option}".upper()


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
