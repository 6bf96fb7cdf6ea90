"""The key of a model: all that the emotion of a song depends on, beside its audio.

``name@version+sha8 manifest=<SHA-256> hop_s=1.0``

The manifest holds the checksums of the networks, the front end and the window rule. What changes no result to speak of
is left out: the device, the precision, the number of processes. The bundle's id comes first, so that a person can be
told which model it was.
"""

from __future__ import annotations

from mertag.listen.bundle import Bundle
from mertag.listen.windows import Segmentation


def model_key(bundle: Bundle, *, segmentation: Segmentation, windows: int | None = None) -> str:
    """Return the key of a bundle.

    Parameters
    ----------
    bundle : Bundle
        The model.
    segmentation : Segmentation
        How songs are cut.
    windows : int, optional
        How many windows of a long song are heard; if not given, all.
    """
    key = f"{bundle.id} manifest={bundle.digest} hop_s={segmentation.hop_s!r}"
    return key if windows is None else f"{key} windows={windows}"


def model_of(key: str) -> str:
    """Return the bundle's id in a key."""
    return key.partition(" ")[0]


def difference(old: str, new: str) -> str:
    """Return in words what sets the key `old` apart from `new`: another model, or other settings."""
    (old_id, *old_parts), (new_id, *new_parts) = old.split(" "), new.split(" ")
    if old_id != new_id:
        return f"with the model {old_id}, and this run uses {new_id}"
    before = [part for part in old_parts if part not in new_parts]
    now = [part for part in new_parts if part not in old_parts]
    defaults = "the defaults"
    return f"with other settings ({', '.join(before) or defaults}), and this run uses {', '.join(now) or defaults}"
