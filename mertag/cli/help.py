"""A command's help and complaints in its user's words: options in groups, an example, ranges, where a value is from.

It is plain text, at the width of the terminal or of a pipe.
"""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand

from mertag.cli import settings

GROUPS = {
    "Which songs": ("files_from", "include", "exclude", "shard", "run", "show_list", "settle", "poll"),
    "What is written": (
        *("write_id3", "sidecar", "dry_run", "overwrite", "min_confidence", "moods", "join", "fields", "labels"),
        *("balanced", "scale", "comment_field"),
        *("preserve_mtime", "restore_mtime", "break_hard_links", "yes", "strict"),
    ),
    "Where it runs": ("engine", "ray_address"),
    "How it listens": ("model", "device", "windows", "segment_hop", "workers"),
    "Memory": ("state", "no_state", "retag", "force"),
    "Output": (
        *("jsonl", "csv", "parquet", "segment_probabilities", "report", "json", "fail_fast", "max_failures"),
        *("quiet", "verbose", "log_level", "help"),
    ),
}
"""Options by what they are about; a command that has others lists all of them together."""

EXAMPLES = {
    "tag": "mertag tag ~/Music --write-tags --dry-run",
    "watch": "mertag watch ~/Music --write-tags",
    "learn": "mertag learn ~/Music --out ~/my-model",
    "undo": "mertag undo --run 12 ~/Music/Live",
    "remove": "mertag remove ~/Music --dry-run",
    "overview": "mertag overview ~/Music --html library.html",
    "playlists": "mertag playlists ~/Music --out ~/Music/Playlists --min-confidence 0.6",
    "import": "mertag import results.parquet",
    "info": "mertag info --json",
    "train": "mertag train --dataset pmemo",
    "evaluate": "mertag evaluate --dataset pmemo --method majority,ours",
    "export": "mertag export runs/pmemo",
    "plot": "mertag plot song.mp3 --out song.svg",
}


class PlainCommand(TyperCommand):
    """A command whose help and errors are in plain words."""

    kinds: dict[str, settings.Kind]
    """What values its parameters take."""

    def prepare(self, kinds: dict[str, settings.Kind]) -> None:
        """Take what values the parameters take, and give numbers a name."""
        self.kinds = kinds
        if self.name in EXAMPLES:
            self.epilog = f"Example: {EXAMPLES[self.name]}"
        for parameter in self.params:
            kind = kinds.get(parameter.name or "")
            if kind is not None and kind.type in (int, float) and parameter.metavar is None:
                parameter.metavar = "N" if kind.type is int else "NUMBER"

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line; what must be given stands without braces."""
        return [piece.translate({ord("{"): None, ord("}"): None}) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and the options by group."""
        lines: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", *GROUPS)}
        group_of = {name: group for group, names in GROUPS.items() for name in names}
        parameters = self.get_params(ctx)
        grouped = "write_id3" in self.kinds or "show_list" in self.kinds
        for parameter in parameters:
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                options = group_of.get(parameter.name or "", "Options") if grouped else "Options"
                lines.setdefault("Arguments" if is_argument else options, []).append(_plain(*record))
        for title, records in lines.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; of a value that cannot be, say what it must be and where it comes from."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param is not None and error.param.name in self.kinds:
                error.message = self._complaint(ctx, error)
            raise

    def _complaint(self, ctx: Any, error: typer.BadParameter) -> str:
        parameter: Any = error.param
        message = error.message.removeprefix("Value error, ").rstrip(".")
        limits = parameter if hasattr(parameter, "min") else getattr(parameter, "type", None)
        low, high = getattr(limits, "min", None), getattr(limits, "max", None)
        kind = self.kinds[parameter.name]
        if kind.type in (int, float):
            number = "a whole number" if kind.type is int else "a number"
            message = f"it must be {number}{_range(low, high)}"
        source = ctx.get_parameter_source(parameter.name)
        if source is not None and source.name == "ENVIRONMENT":
            return f"{message} (it comes from ${settings.variable(self.name or '', parameter.name)})"
        if source is not None and source.name == "DEFAULT_MAP":
            return f"{message} (it comes from {settings.config_path()})"
        return message


def _plain(name: str, text: str) -> tuple[str, str]:
    """Return a line of help without a programmer's words."""
    name = re.sub(r" <(list\[)?(Path|str|int|float|path|file)\]?>$", "", name)
    name = re.sub(r"[<{]([^<>{}]*)[>}]", r"\1", name)
    text = re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", text)
    return name, re.sub(r"x>=([\d.]+)", r"\1 or more", text)


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f" up to {high:g}"
    return f" of {low:g} or more" if high is None else f" from {low:g} to {high:g}"
