"""Mistakes in mertag's own code that writes tags, made one at a time: what `second_readers.py` has to do with.

Usage: ``python benchmarks/mistakes.py FOLDER OUT [--right FILE] [--mistake MODULE:NUMBER]``. Every file below FOLDER is
written in memory, as by ``mertag tag --write-tags --overwrite``, and checked by mertag's own code alone, with the
mistake in it. Copies that pass go to OUT, but for those whose digests are in FILE, a ``found.json`` of another run.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import importlib.abc
import importlib.util
import io
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "mertag.library.tags"
MODULES = (
    *("apev2", "asf", "asf_description", "comment", "container", "detect", "dsf", "fields", "flac", "id3", "id3_bytes"),
    *("id3_comment", "id3_frames", "id3_tag", "iff", "mp4", "mp4_atoms", "ogg", "vorbis"),
)
LIMIT_S = 5
"""So long one file may take."""

TURNED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def places(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes in which a mistake can be made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | bytes | str) and not _is_text(node):
            if node.value not in (b"", ""):
                yield node
        elif (isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED) or (
            isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in TURNED
        ):
            yield node


def _is_text(node: ast.Constant) -> bool:
    """Return whether a constant is a sentence: a docstring or a message."""
    return isinstance(node.value, str) and (" " in node.value or "\n" in node.value)


def spoil(node: ast.AST) -> str:
    """Make a mistake in a node; return what it was."""
    before = ast.unparse(node)
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            node.value = not value
        elif isinstance(value, int):
            node.value = value + 1
        elif value in ("big", "little"):
            node.value = {"big": "little", "little": "big"}[value]
        elif isinstance(value, bytes):
            node.value = bytes((value[0] ^ 1,)) + value[1:]
        else:
            node.value = chr(ord(value[0]) ^ 1) + value[1:]
    elif isinstance(node, ast.Compare):
        node.ops[0] = TURNED[type(node.ops[0])]()
    else:
        node.op = TURNED[type(node.op)]()  # type: ignore[attr-defined]
    return f"line {node.lineno}: {before} -> {ast.unparse(node)}"  # type: ignore[attr-defined]


class Spoilt(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module with a mistake in it."""

    def __init__(self, module: str, index: int) -> None:
        self.name = f"{PACKAGE}.{module}"
        self.path = ROOT / "mertag" / "library" / "tags" / f"{module}.py"
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        self.what = f"{module}.py {spoil(list(places(tree))[index])}"
        self.tree = ast.fix_missing_locations(tree)

    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        """Return how the module is imported."""
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_source(self, fullname: str) -> str:
        """Return the source with the mistake."""
        return ast.unparse(self.tree)

    def get_code(self, fullname: str) -> CodeType:
        """Return the same, compiled."""
        return compile(self.tree, str(self.path), "exec")

    def exec_module(self, module: ModuleType) -> None:
        """Run it as the module."""
        exec(self.get_code(self.name), module.__dict__)


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError inside if it takes longer."""

    def ring(*_: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def write_all(folder: Path, out: Path, right: Mapping[str, str]) -> None:
    """Write every file in memory, with mertag's own check alone; keep the copies that are not the right ones."""
    import awkward_files

    from mertag.library import tags
    from mertag.library.tags.container import Source
    from mertag.library.tags.options import TagOptions

    tags.opinion_of = lambda *_: None  # type: ignore[assignment]
    found: dict[str, str] = {}
    for number, path in enumerate(files(folder)):
        with contextlib.suppress(Exception), at_most(LIMIT_S), path.open("rb") as file:
            original: Any = SimpleNamespace(file=file, path=path)
            source = Source(file)
            container = tags.open_container(source)
            new = tags.planned(awkward_files.HAPPY, TagOptions(overwrite=True), container.fields)
            if new == container.fields:
                continue
            data = b"".join(
                piece if isinstance(piece, bytes) else source.peek(piece.start, len(piece))
                for piece in container.rebuilt(new)
            )
            digest = hashlib.sha256(data).hexdigest()
            if right.get(str(number)) != digest:
                tags._compare(original, container, new, io.BytesIO(data))  # raises if the own check objects
                (out / f"{number}{path.suffix}").write_bytes(data)
                found[str(number)] = digest
    (out / "found.json").write_text(json.dumps(found))


def files(folder: Path) -> list[Path]:
    """Return the files below a folder, in one order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")


def main() -> None:
    """Write all files, with one mistake or with none."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--right", type=Path)
    parser.add_argument("--mistake")
    given = parser.parse_args()
    if given.mistake:
        module, _, index = given.mistake.partition(":")
        spoilt = Spoilt(module, int(index))
        print(spoilt.what, flush=True)
        sys.meta_path.insert(0, spoilt)
    write_all(given.folder, given.out, json.loads(given.right.read_text()) if given.right else {})


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    main()
