"""The ONNX contract: which inputs and outputs the graphs of a bundle have (``docs/architecture.md``)."""

from __future__ import annotations

from collections.abc import Mapping

from mertag.errors import BundleError
from mertag.listen.bundle import Bundle
from mertag.listen.manifest import Head
from mertag.listen.sessions import Session

_Signature = Mapping[str, tuple[str, tuple[int | None, ...]]]
"""Name -> element type and shape; None stands for any length."""


def check_segment_graph(bundle: Bundle, name: str, session: Session) -> None:
    """Check a segment graph: waveform and starts in, the probabilities of each head out.

    Raises
    ------
    BundleError
        If it does not keep the contract.
    """
    _check(
        bundle,
        name,
        session,
        inputs={"waveform": ("tensor(float)", (None,)), "starts": ("tensor(int64)", (None,))},
        outputs={
            f"probabilities_{head.target}": ("tensor(float)", (None, len(head.classes)))
            for head in bundle.manifest.heads
        },
    )


def check_song_graph(bundle: Bundle, head: Head, session: Session) -> None:
    """Check the song graph of a head: features in, probabilities out.

    Raises
    ------
    BundleError
        If it does not keep the contract.
    """
    n = len(head.classes)
    _check(
        bundle,
        head.song,
        session,
        inputs={"features": ("tensor(float)", (None, 7 * n))},
        outputs={"probabilities": ("tensor(float)", (None, n))},
    )


def _check(bundle: Bundle, name: str, session: Session, *, inputs: _Signature, outputs: _Signature) -> None:
    """Refuse a graph whose inputs and outputs are not those of the contract.

    Raises
    ------
    BundleError
        The message names the file, the input or output, and what it should be.
    """
    found_inputs = {value.name: value for value in session.get_inputs()}
    found_outputs = {value.name: value for value in session.get_outputs()}
    if set(found_inputs) != set(inputs):
        raise BundleError(
            f"{bundle.path(name)}: its inputs are {', '.join(sorted(found_inputs))}, not "
            f"{', '.join(sorted(inputs))}; export the bundle again"
        )
    for label, wanted, found in (("input", inputs, found_inputs), ("output", outputs, found_outputs)):
        for key, (kind, shape) in wanted.items():
            if key not in found:
                raise BundleError(
                    f"{bundle.path(name)}: it has no output {key!r}; its heads are not those of the "
                    "manifest: export the bundle again"
                )
            value = found[key]
            fits = len(value.shape) == len(shape) and all(
                not isinstance(size, int) or size == limit for size, limit in zip(value.shape, shape, strict=True)
            )
            if value.type != kind or not fits:
                raise BundleError(
                    f"{bundle.path(name)}: its {label} {key!r} is {value.type} {value.shape}, not {kind} "
                    f"of shape {tuple('any' if s is None else s for s in shape)}; export the bundle again"
                )
