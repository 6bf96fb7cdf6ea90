"""The manifest of a model bundle: what the model is, as untrusted data, checked in every part.

``manifest.json`` is strict JSON of at most 1 MiB. Every key that decides what is computed must be there and be known.
Unknown keys at the top are left alone, so that a later mertag may add some within the same schema.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mertag import strict_json
from mertag._version import __version__
from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import BundleError
from mertag.listen.windows import FEATURES_PER_CLASS, FrontEnd, Segmentation, WindowRule

SCHEMA = 1
"""The only schema that this version reads and writes."""

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_EMBEDDING = 1 << 14

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # device names on Windows
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Precision(StrEnum):
    """The arithmetic of a segment graph."""

    INT8 = "int8"
    FP16 = "fp16"
    FP32 = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One output of the network, and the song classifier that reads it.

    Attributes
    ----------
    target : Target
        What it predicts.
    classes : tuple of str
        Class names in the order of the outputs: those of `mertag.emotion.CLASS_NAMES`.
    song : str
        File name of ``song.<target>.onnx``.
    embedding : int
        How many numbers follow the probabilities of each segment: what else the network knows of it. The song
        classifier gets their means behind the features. 0 in a model as it was trained.
    """

    target: Target
    classes: tuple[str, ...]
    song: str
    embedding: int = 0

    @property
    def n_outputs(self) -> int:
        """How many numbers the network gives of each segment."""
        return len(self.classes) + self.embedding

    @property
    def n_features(self) -> int:
        """How many numbers the song classifier gets of each window."""
        return FEATURES_PER_CLASS * len(self.classes) + self.embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle holds, and what its model computes.

    Attributes
    ----------
    name, version : str
        Which model this is; letters, digits, ``.``, ``_`` and ``-`` only, since both go into tags.
    heads : tuple of Head
        A quadrant head, or a valence and an arousal head.
    segment : mapping of Precision to str
        File name of the segment graph in each precision that is there. ``int8`` is meant for CPUs, ``fp16``
        for GPUs; where ``fp32`` is absent, ``fp16`` serves a CPU too.
    shared : tuple of Precision
        Whose graph convolves what overlapping segments have in common only once. It is several times as fast, and
        a segment then sees its neighbours: such a graph takes one song a call.
    licence : str
        Under which terms the weights may be used.
    front_end, segmentation, window_rule
        The constants that the model was trained with.
    dataset, training_command : str
        What it was trained on, and how.
    metrics : mapping
        Measured results: any JSON.
    created_by : str
        ``mertag <version>`` that wrote it.
    files : mapping of str to str
        SHA-256 in hexadecimal of every other file in the folder; `mertag.listen.bundle.write_bundle` fills it.
    schema : int
        `SCHEMA`.

    Raises
    ------
    BundleError
        If the parts contradict each other, or a name is unsafe.
    """

    name: str
    version: str
    heads: tuple[Head, ...]
    segment: Mapping[Precision, str]
    licence: str
    front_end: FrontEnd = field(default_factory=FrontEnd)
    segmentation: Segmentation = field(default_factory=Segmentation)
    window_rule: WindowRule = field(default_factory=WindowRule)
    dataset: str = ""
    training_command: str = ""
    metrics: Mapping[str, object] = field(default_factory=dict)
    created_by: str = f"mertag {__version__}"
    files: Mapping[str, str] = field(default_factory=dict)
    shared: tuple[Precision, ...] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        for what in ("name", "version"):
            check_file_name(getattr(self, what), f"its {what}")
        if {head.target for head in self.heads} not in ({Target.QUADRANT}, {Target.VALENCE, Target.AROUSAL}):
            found = ", ".join(head.target for head in self.heads) or "none"
            raise BundleError(f"heads must be quadrant, or valence and arousal, not {found}")
        if len({head.target for head in self.heads}) < len(self.heads):
            raise BundleError("two heads have the same target")
        for head in self.heads:
            if head.classes != CLASS_NAMES[head.target]:
                wanted = ", ".join(CLASS_NAMES[head.target])
                raise BundleError(f"classes of {head.target} must be {wanted}, not {', '.join(head.classes)}")
            if not 0 <= head.embedding <= MAX_EMBEDDING:
                raise BundleError(f"embedding of {head.target} is {head.embedding}; 0 to {MAX_EMBEDDING} can be")
        if not self.segment:
            raise BundleError("no segment graph is named")
        if not set(self.shared) <= set(self.segment):
            raise BundleError(f"shared names {', '.join(self.shared)}, but the graphs are {', '.join(self.segment)}")
        for name in (*self.graphs, *self.files):
            check_file_name(name, "a file in it")
        if MANIFEST_NAME in self.files:
            raise BundleError("the manifest cannot hold its own checksum")
        _check_constants(self.front_end, self.segmentation, self.window_rule)

    @property
    def graphs(self) -> tuple[str, ...]:
        """The names of all ONNX files that the model may run."""
        return (*self.segment.values(), *(head.song for head in self.heads))

    def to_json(self) -> str:
        """Return the manifest as JSON text, keys in the order of the class; an embedding only where there is one."""
        plain = dataclasses.asdict(self)
        for head in plain["heads"]:
            if not head["embedding"]:  # who reads such bundles since before there were any need not know of it
                del head["embedding"]
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read a manifest; nothing in it is trusted.

        Raises
        ------
        BundleError
            If it is not strict JSON, of another schema, lacks a key, or holds one of another type or an
            impossible value. The message names the key, not the folder: `mertag.listen.bundle.load_bundle` adds it.
        """
        try:
            raw = strict_json.parse(text)
            _check_schema(raw)
            for field_ in dataclasses.fields(cls):
                if field_.name not in raw and field_.name != "shared":
                    raise BundleError(f"the key {field_.name!r} is missing")
            found = strict_json.convert(raw, cls)
        except ValueError as error:
            raise BundleError(str(error)) from error
        for key in ("front_end", "segmentation", "window_rule"):
            known = {constant.name for constant in dataclasses.fields(getattr(found, key))}
            if missing := sorted(known - set(raw[key])):
                raise BundleError(f"{key}: the key {missing[0]!r} is missing")
            if unknown := sorted(set(raw[key]) - known):
                raise BundleError(f"{key}: unknown {', '.join(unknown)}; a newer mertag may know it")
        for name, digest in found.files.items():
            if not _SHA256.fullmatch(digest):
                raise BundleError(f"files: the checksum of {name!r} is not 64 hexadecimal digits")
        return found


def check_file_name(name: str, what: str) -> None:
    """Raise BundleError for a name that is not a plain file name on every system."""
    if not _SAFE_NAME.fullmatch(name) or name.endswith(".") or _RESERVED.fullmatch(name):
        raise BundleError(
            f"{what} has the unsafe name {name!r}; allowed are letters, digits, '.', '_' and '-', "
            "starting with a letter or digit"
        )


def _check_schema(raw: Mapping[str, object]) -> None:
    """Say which mertag reads a schema that this one does not."""
    schema = strict_json.get(raw, "schema", int)
    if schema == SCHEMA:
        return
    writer = re.fullmatch(r"mertag (\d[\w.]{0,30})", str(raw.get("created_by", "")))
    remedy = f"pip install 'mertag>={writer[1]}'" if writer else "pip install --upgrade mertag"
    by = f", which mertag {writer[1]} wrote" if writer else ""
    raise BundleError(
        f"it has schema {schema}{by}; this is mertag {__version__}, which reads schema {SCHEMA}. "
        f"Install one that reads it: {remedy}"
    )


def _check_constants(front_end: FrontEnd, segmentation: Segmentation, rule: WindowRule) -> None:
    """Refuse constants with which nothing can be computed, or that would need absurd memory."""
    if not 1_000 <= front_end.sample_rate <= 384_000:
        raise BundleError(f"front_end: sample_rate is {front_end.sample_rate} Hz; 1000 to 384000 can be")
    if not 1 <= front_end.hop_length <= front_end.n_fft <= 65_536:
        raise BundleError("front_end: 1 <= hop_length <= n_fft <= 65536 must hold")
    if front_end.n_mels < 1 or front_end.amin <= 0:
        raise BundleError("front_end: n_mels and amin must be positive")
    if not 0 <= front_end.fmin_hz < front_end.fmax_hz <= front_end.sample_rate / 2:
        raise BundleError("front_end: 0 <= fmin_hz < fmax_hz <= half the sample rate must hold")
    for key, constants in (("segmentation", segmentation), ("window_rule", rule)):
        for name, value in dataclasses.asdict(constants).items():
            if not 0.01 <= value <= 3_600:
                raise BundleError(f"{key}: {name} is {value}; 0.01 to 3600 seconds can be")
    if segmentation.segment_frames(front_end) < 1:
        raise BundleError(f"segmentation: duration_s is {segmentation.duration_s}, less than one frame")
