"""Does an ONNX graph read other files? Answered from its bytes, without the ``onnx`` package.

A tensor may say that its values lie in another file ("external data"). A session made from bytes looks for it in the
*current folder*, and older onnxruntime releases followed ``..`` and absolute paths too (microsoft/onnxruntime, pull
requests 26776 and 27430), so that a bundle could read any file into its weights. Hence such a graph is never loaded.

ONNX files are protocol buffers: a message is a row of fields, each a key (field number and wire type) and a value. Only
their skeleton is walked; weights are skipped by their length. The field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator

# For each message, the fields that lead to a TensorProto, and the message that lies there.
_FIELDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MAX_DEPTH = 100  # as protobuf itself


def has_external_data(model: bytes) -> bool:
    """Return whether any tensor of an ONNX model lies outside of it.

    Parameters
    ----------
    model : bytes
        A serialised ``ModelProto``.

    Raises
    ------
    ValueError
        If the bytes are no protocol buffer.
    """
    return _search(memoryview(model), "Model", 0)


def _search(data: memoryview, message: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError("messages nested too deep")
    inner = _FIELDS.get(message, {})
    for number, value in _fields(data):
        if message == "Tensor":
            # Any mention is refused: readers may differ on entries whose location says "inside".
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                return True
        elif number in inner and isinstance(value, memoryview) and _search(value, inner[number], depth + 1):
            return True
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield each field of a message: its number, and an integer or the bytes of its value."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32, _BYTES):
            size, at = _varint(data, at) if wire == _BYTES else (8 if wire == _FIXED64 else 4, at)
            if at + size > len(data):
                raise ValueError("a field ends after its message")
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {wire} does not occur in ONNX")
        yield number, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer and the position after it."""
    if at < len(data) and data[at] < 0x80:  # nearly all are of one byte, and there are tens of thousands
        return data[at], at + 1
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number does not end")
