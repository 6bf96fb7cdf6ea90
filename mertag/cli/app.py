"""The table of commands, and the group that loads each one only when it is called.

`mertag --help` must start fast, and must not need the packages of an optional extra: so it shows the table's
own help lines, and imports nothing. A command is a plain function whose parameters carry `typer.Option`; it
lives in the package that does its work, and typer makes a command of it here.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from mertag._version import __version__
from mertag.cli import console, settings
from mertag.cli.help import PlainCommand
from mertag.errors import MissingExtraError

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
OWN_PACKAGES = ("mertag", "mertag_train", "mertag_export")


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyCommand:
    """One command: ``"module:function"``, what ``mertag --help`` says of it, and the extra that it needs, if any."""

    target: str
    help: str
    extra: str | None = None


COMMANDS: Mapping[str, LazyCommand] = MappingProxyType(
    {
        "tag": LazyCommand(
            target="mertag.cli.tag:tag", help="Recognise the emotion of songs; write tags, sidecars, tables."
        ),
        "watch": LazyCommand(
            target="mertag.cli.watch:watch", help="Tag the music that arrives in folders, until stopped.", extra="watch"
        ),
        "undo": LazyCommand(
            target="mertag.cli.undo:undo", help="Give files the bytes back that they had before a run."
        ),
        "remove": LazyCommand(target="mertag.cli.remove:remove", help="Take mertag's own fields out of songs."),
        "overview": LazyCommand(
            target="mertag.cli.overview:overview",
            help="Say how a library feels, from what is remembered; draw a map.",
        ),
        "playlists": LazyCommand(
            target="mertag.cli.playlists:playlists", help="Write playlists by mood, from what is remembered."
        ),
        "import": LazyCommand(
            target="mertag.cli.import_results:import_results",
            help="Remember results that another machine wrote as Parquet.",
            extra="parquet",
        ),
        "info": LazyCommand(target="mertag.cli.info:info", help="Show the model, the device in use and the decoders."),
        "train": LazyCommand(
            target="mertag_train.commands.train:train", help="Train a model on a labelled data set.", extra="train"
        ),
        "evaluate": LazyCommand(
            target="mertag_train.commands.evaluate:evaluate",
            help="Measure methods by cross-validation; print the paper's tables.",
            extra="train",
        ),
        "export": LazyCommand(
            target="mertag_export.cli:export", help="Turn a training run into an ONNX model bundle.", extra="export"
        ),
        "learn": LazyCommand(
            target="mertag_export.learn:learn", help="Learn from the moods that you corrected.", extra="export"
        ),
        "plot": LazyCommand(
            target="mertag_train.commands.plot:plot",
            help="Draw the emotion of a song over time (PNG, SVG).",
            extra="plot",
        ),
    }
)


def load_command(name: str) -> TyperCommand:
    """Import one command's function and make a typer command of it; raise `MissingExtraError` if it lacks a package."""
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    function = _function(name)
    single.command(name=name, cls=PlainCommand, context_settings=HELP_NAMES)(function)
    command = typer.main.get_command(single)
    assert isinstance(command, PlainCommand)  # one function gives one command
    command.prepare(settings.kinds_of(function))
    for parameter in command.params:
        if isinstance(parameter, TyperOption) and not parameter.envvar:
            parameter.show_envvar = False  # MERTAG_<COMMAND>_<OPTION> holds for all: said once, not each time
    return command


def _function(name: str) -> Callable[..., Any]:
    """Import the function of a command."""
    module, _, function = COMMANDS[name].target.partition(":")
    try:
        call: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error
    return call


def _settings(name: str, command: TyperCommand) -> dict[str, object]:
    """Return a command's settings: those that typer does not take from the environment itself."""
    kinds = settings.kinds_of(_function(name))
    options = {p.name: kinds[p.name] for p in command.params if isinstance(p, TyperOption) and p.name in kinds}
    for variable in settings.unknown_variables(name, options):
        console.warn(f"${variable} sets no option of `mertag {name}`; it is ignored")
    lists = settings.lists_from_environment(name, options)
    for parameter in command.params:
        if parameter.name in lists and isinstance(parameter, TyperOption):
            parameter.allow_from_autoenv = False  # typer would split a pattern at its spaces
    return settings.for_command(name, options, commands=COMMANDS) | lists


def _missing(name: str, error: ModuleNotFoundError) -> Exception:
    """Return what a failed import means: an extra that is not installed, or a mistake of ours."""
    extra = COMMANDS[name].extra
    module = (error.name or "").partition(".")[0]
    return error if extra is None or module in OWN_PACKAGES else MissingExtraError(name, extra, module)


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and help line, and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return (name, command, rest of the arguments), the command loaded and its settings in place."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or command is None or name not in COMMANDS:
            return name, command, rest
        if COMMANDS[name].extra in (None, "plot", "watch"):
            # It needs no threads of numpy's, and OpenBLAS sends itself Ctrl-C where it may start none (ulimit -u).
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        try:
            command = load_command(name)
        except MissingExtraError:
            if not ctx.resilient_parsing:  # a shell that asks for completions gets none, and no message
                raise
            return name, command, rest
        ctx.auto_envvar_prefix = "MERTAG"
        ctx.default_map = {name: _settings(name, command)}
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called; errors become exit codes."""
        with console.lines_on_stderr(), console.errors_end_the_command():
            try:
                return super().invoke(ctx)
            except ModuleNotFoundError as error:  # imported by the command itself, when it ran
                if ctx.invoked_subcommand not in COMMANDS:
                    raise
                raise _missing(ctx.invoked_subcommand, error) from error

    def main(self, *args: Any, **options: Any) -> Any:
        """Parse and run, and end the process with a documented exit code."""
        return console.run(lambda: super(LazyGroup, self).main(*args, **options))


def _show_version(wanted: bool) -> None:
    if wanted:
        console.out(f"mertag {__version__}")
        raise typer.Exit


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, context_settings=HELP_NAMES)


@app.callback(
    epilog="Settings come from the command line, then from MERTAG_<COMMAND>_<OPTION> (such as "
    "MERTAG_TAG_DEVICE), then from the configuration file that `mertag info` names. Exit codes: 0 done; "
    "1 some files failed; 2 usage; 3 cannot run; 70 a mistake in mertag; 130 interrupted; 141 the output was "
    "closed; 143 terminated."
)
def mertag(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Recognise the emotion of music, and write it into your library's tags, safely."""


def main() -> None:
    """Run ``mertag``: the console script."""
    typer.main.get_command(app).main(prog_name="mertag")
