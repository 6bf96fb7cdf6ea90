"""``mertag import``: results that another machine wrote as Parquet, taken into the memory here."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, Annotated

import typer

from mertag.cli import console
from mertag.cli.shared import refuse_music
from mertag.cli.tag_options import Json, WarningsOnly
from mertag.cli.undo import StateOption
from mertag.errors import ConfigError
from mertag.files import local_path, path_text

Results = Annotated[
    list[str],
    typer.Argument(
        metavar="RESULTS", help="Parquet files of `mertag tag --parquet`, or folders of them; paths or URLs."
    ),
]


def import_results(
    results: Results,
    state: StateOption = None,
    json: Json = False,
    quiet: WarningsOnly = False,
) -> None:
    """Remember results that another machine wrote, so that `mertag tag --retag` writes tags from them.

    Nothing is analysed. A song is recognised by its audio: where it lies and what it is called does not matter, nor
    what its tags say. What is remembered already stays as it is.
    """
    from mertag.cli.outputs import print_json
    from mertag.library import parquet
    from mertag.library.state.database import Database, default_path
    from mertag.library.state.imported import COLUMNS, Imported, import_rows

    parquet.pyarrow("import")
    refuse_music(state)
    found = Imported()
    with Database(state or default_path(), notify=console.warn) as database:
        for text in results:
            for name, opened in _files(text):
                with opened as file:
                    rows = parquet.read(file, names=COLUMNS, command="import")
                    found += import_rows(database, rows, name=path_text(name))
    if not quiet:
        n = found.new + found.known
        console.say(f"{n} results: {found.new} new, {found.known} known already")
        if found.without_emotion:
            console.say(f"{found.without_emotion} songs without a result (skipped or failed) are passed over")
    if found.without_audio:
        console.warn(
            f"{found.without_audio} results do not say which audio they belong to, since their run remembered nothing "
            "(--no-state); they are passed over"
        )
    if json:
        print_json(dataclasses.asdict(found))


def _files(text: str) -> Iterator[tuple[str, AbstractContextManager[IO[bytes]]]]:
    """Yield name and opener of each Parquet file that an argument means."""
    from mertag.library.store import Store, parent_and_name

    path = local_path(text)
    if path is not None and not os.path.lexists(path):
        raise ConfigError(f"{text}: no such file or folder")
    if text.endswith(".parquet") if path is None else path.is_file():
        folder, name = parent_and_name(text if path is None else str(path))
        yield text, Store(folder, command="import").opened(name)
        return
    store = Store(text, command="import")
    names = [name for name in store.names() if name.endswith(".parquet")]
    if not names:
        raise ConfigError(f"{text}: there are no Parquet files")
    for name in names:
        yield store.address(name), store.opened(name)
