"""A session whose inputs and outputs have fixed places in its device's memory, one for each shape.

``InferenceSession.run`` allocates memory on the device for each call's inputs and outputs. Here they are allocated once
a shape, which pays where shapes come from a short list (`mertag.listen.segment_model.pad_to_shape`), and is what CUDA
graphs need: with them, the kernels of a call are recorded once and launched together afterwards.

Source: onnxruntime's documentation, "I/O Binding" and "CUDA Execution Provider", "Using CUDA Graphs".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

MOST_SHAPES = 16
"""For so many shapes memory is kept; of a seventeenth, that of the shape that was used longest ago goes."""

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bound:
    binding: Any
    inputs: dict[str, Any]
    outputs: list[Any]
    options: Any


class BoundSession:
    """A `mertag.listen.sessions.Session` that binds what it is given. For one thread at a time.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Its outputs have as many rows as its last input, and its inputs and outputs no other lengths that change.
    device : {"cuda", "cpu"}
        Where the memory lies.
    graphs : bool
        Record a CUDA graph for each shape; the session must have been made with ``enable_cuda_graph``.
    """

    def __init__(self, session: Any, device: Literal["cuda", "cpu"], *, graphs: bool = False) -> None:
        self._session, self._device, self._graphs = session, device, graphs
        self._row = {output.name: output.shape[1:] for output in session.get_outputs()}
        self._bound: dict[Shapes, _Bound] = {}
        self._n_bound = 0

    def run(self, output_names: list[str], input_feed: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """Run the graph; all outputs are float32."""
        shapes: Shapes = tuple(values.shape for values in input_feed.values())
        bound = self._bound.pop(shapes, None) or self._bind(output_names, input_feed)
        self._bound[shapes] = bound  # the last one is the one used last
        for name, values in input_feed.items():
            bound.inputs[name].update_inplace(np.ascontiguousarray(values))
        self._session.run_with_iobinding(bound.binding, bound.options)
        # Copied: on the CPU it is the memory that the next call writes to.
        return [np.array(output.numpy()) for output in bound.outputs]

    def get_inputs(self) -> list[Any]:
        """Return the inputs of the session."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return its outputs."""
        return list(self._session.get_outputs())

    def get_providers(self) -> list[str]:
        """Return the providers it has in use."""
        return list(self._session.get_providers())

    def _bind(self, output_names: list[str], input_feed: dict[str, npt.NDArray[Any]]) -> _Bound:
        import onnxruntime as ort

        while len(self._bound) >= MOST_SHAPES:
            del self._bound[next(iter(self._bound))]
        binding = self._session.io_binding()
        inputs: dict[str, Any] = {}
        for name, values in input_feed.items():
            inputs[name] = ort.OrtValue.ortvalue_from_shape_and_type(values.shape, values.dtype, self._device, 0)
            binding.bind_ortvalue_input(name, inputs[name])
        n_rows = len(next(reversed(input_feed.values())))
        outputs: list[Any] = []
        for name in output_names:
            shape = [n_rows, *self._row[name]]
            outputs.append(ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, self._device, 0))
            binding.bind_ortvalue_output(name, outputs[-1])
        options = ort.RunOptions()
        if self._graphs:
            # A number of its own for each binding: a graph holds the addresses of what was bound.
            self._n_bound += 1
            options.add_run_config_entry("gpu_graph_id", str(self._n_bound))
        return _Bound(binding=binding, inputs=inputs, outputs=outputs, options=options)
