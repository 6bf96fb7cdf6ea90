"""The beets plugin: the emotion of songs as fields of the library, found on import and by ``beet mertag QUERY``.

Items get the flexible fields `mood`, `valence`, `arousal` and `mood_confidence`, so that ``beet ls mood:Happy
valence:0.7..`` works. Tags are written by mertag's own writer, never by beets', and only where beets would write, too.
What was heard is remembered in mertag's state file: nothing is analysed twice, and ``mertag undo`` takes writes back.

On import, songs are heard before beets moves them, and written after: a file that is copied stays as it was.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from beets import ui
from beets.dbcore import types
from beets.exceptions import UserError
from beets.plugins import BeetsPlugin

if TYPE_CHECKING:
    from optparse import Values

    from beets.importer import ImportSession, ImportTask
    from beets.library import Item, Library

    from mertag.batch import BatchOptions
    from mertag.library.accounting import FileDone
    from mertag.library.state.analyses import State
    from mertag.listen.tagger import Tagger

FIELDS = ("mood", "valence", "arousal", "mood_confidence")


class MertagPlugin(BeetsPlugin):
    """The plugin; the model is loaded when the first song is to be heard, and once."""

    item_types: ClassVar[Mapping[str, types.Type[Any, Any]]] = {
        "mood": types.STRING,
        **dict.fromkeys(FIELDS[1:], types.Float(3)),
    }

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "auto": True,
                "force": False,
                "write": None,  # None: as beets' own `import.write`
                "threads": None,
                "device": "auto",
                "model": None,
                "state": None,
                "overwrite": False,
                "min_confidence": 0.0,
                "scale": 1,
                "balanced": None,
                "comment_field": False,
            }
        )
        self._opened = ExitStack()
        self._tagger: Tagger | None = None
        self._state: State | None = None
        self._lock = threading.Lock()  # beets' stages have a thread each
        atexit.register(self._close)
        self.register_listener("cli_exit", self._close)
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]
            self.register_listener("import_task_files", self.files_are_there)

    def commands(self) -> list[ui.Subcommand]:
        """Return ``beet mertag``."""
        command = ui.Subcommand("mertag", help="recognise the emotion of songs")
        add = command.parser.add_option
        add("-f", "--force", action="store_true", help="analyse songs again, and replace the fields that they have")
        add("-p", "--pretend", action="store_true", help="show what would change, and change nothing")
        add("-w", "--write", action="store_true", default=None, help="write tags into the files")
        add("-W", "--nowrite", action="store_false", dest="write", help="change beets' library only")
        add("-t", "--threads", type="int", help="threads of the network; if not given, one for each core")
        command.func = self.command
        return [command]

    def command(self, library: Library, options: Values, query: list[str]) -> None:
        """Analyse the items of a query; the exit code is 1 if one failed."""
        force, write = bool(options.force or self.config["force"].get(bool)), self._writes(options.write)
        if options.threads is not None:
            self.config["threads"].set(options.threads)
        items = [item for item in library.items(query) if force or write or not _has_fields(item)]
        if not self.tag(items, write=write, force=force, pretend=bool(options.pretend), say=ui.print_):
            raise UserError("some songs have no emotion; see above")

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """Hear the songs of a task, before beets moves them; no file is changed."""
        force = self.config["force"].get(bool)
        items = [item for item in task.imported_items() if force or not _has_fields(item)]
        self.tag(items, write=False, force=force)

    def files_are_there(self, session: ImportSession, task: ImportTask) -> None:
        """Write the tags of a task, whose files are now where they belong."""
        if self._writes(None):
            self.tag(task.imported_items(), write=True)

    def tag(
        self,
        items: Iterable[Item],
        *,
        write: bool,
        force: bool = False,
        pretend: bool = False,
        say: Any = lambda line: None,
    ) -> bool:
        """Set the fields of items, and write tags where that is asked for; return whether no song failed."""
        from mertag.batch import FileDone, Note, tag_library
        from mertag.errors import MertagError

        # Paths are resolved here, in beets' own thread: they may be relative to the library.
        waiting = {item.filepath: item for item in items}
        if not waiting:
            return True
        well = True
        try:
            with self._lock:
                tagger, state = self._open()
                options = self._options(write=write, force=force, pretend=pretend)
                for event in tag_library(list(waiting), tagger=tagger, options=options, state=state):
                    if isinstance(event, FileDone):
                        well &= self._done(waiting[Path(event.path)], event, options, say)
                    elif isinstance(event, Note):
                        self._log.info("{}", event.text)
        except MertagError as error:
            raise UserError(f"mertag: {error}") from error
        return well

    def _done(self, item: Item, done: FileDone, options: BatchOptions, say: Any) -> bool:
        """Take over what became of a song; return whether it did not fail."""
        name = format(item)
        if done.emotion is None or done.status.is_failure:
            say(f"{name}: {done.status}: {done.reason}")
            self._log.warning("{}: {}: {}", name, done.status, done.reason)
            return not done.status.is_failure
        emotion = done.emotion
        found = {
            "mood": self._mood(done, options),
            "valence": emotion.valence,
            "arousal": emotion.arousal,
            "mood_confidence": emotion.confidence,
        }
        say(f"{name}: {found['mood']}, V {emotion.valence:.2f}, A {emotion.arousal:.2f}, {emotion.confidence:.0%} sure")
        if options.dry_run:
            return True
        changed = {key: value for key, value in found.items() if value and (options.force or not item.get(key))}
        item.update(changed)
        if done.wrote:
            item.mtime = item.current_mtime()  # else `beet update` takes the write for another program's
        if changed or done.wrote:
            item.store()
        return True

    def _mood(self, done: FileDone, options: BatchOptions) -> str:
        """Return the mood that the file has, or would have if it were written: its owner's, if that stays."""
        from mertag.errors import FileError
        from mertag.library.tags import plan_tags, read_tags
        from mertag.library.tags.options import MOOD

        assert done.emotion is not None  # asked before
        try:
            if options.write_tags and not options.dry_run:
                return "; ".join(read_tags(done.path).get(MOOD, ()))
            return "; ".join(plan_tags(done.path, done.emotion, options.tag).new.get(MOOD, ()))
        except FileError:  # a format without tags
            return done.emotion.quadrant.label

    def _options(self, *, write: bool, force: bool, pretend: bool) -> BatchOptions:
        from mertag.batch import BatchOptions
        from mertag.library.tags import TagOptions

        tag = TagOptions(
            overwrite=self.config["overwrite"].get(bool),
            min_confidence=self.config["min_confidence"].as_number(),
            scale=self.config["scale"].get(int),
            balanced=self.config["balanced"].get() or None,
            comment_field=self.config["comment_field"].get(bool),
        )
        return BatchOptions(write_tags=write, dry_run=pretend, force=force, tag=tag, missing_fails=True)

    def _open(self) -> tuple[Tagger, State]:
        """Return the tagger and the state, opened at the first call."""
        if self._tagger is None or self._state is None:
            from mertag.library.state.analyses import open_state
            from mertag.listen.tagger import Tagger

            def notify(message: str) -> None:
                self._log.warning("{}", message)

            path, model = self.config["state"].get(), self.config["model"].get()
            place = Path(path).expanduser() if path else None
            self._state = self._opened.enter_context(open_state(place, command="beet", notify=notify))
            self._tagger = self._opened.enter_context(
                Tagger(
                    Path(model).expanduser() if model else None,
                    device=self.config["device"].as_choice(["auto", "cuda", "cpu"]),
                    threads=self.config["threads"].get(),
                    notify=notify,
                )
            )
        return self._tagger, self._state

    def _close(self, **_: object) -> None:
        """End the tagger's processes, and the run in the state file; may be called twice."""
        self._tagger = self._state = None
        self._opened.close()

    def _writes(self, asked: bool | None) -> bool:
        """Return whether files are written: as the command line says, else the plugin's setting, else beets'."""
        configured = self.config["write"].get()
        return bool(next((choice for choice in (asked, configured) if choice is not None), ui.should_write()))


def _has_fields(item: Item) -> bool:
    return all(item.get(field) not in (None, "") for field in FIELDS)
