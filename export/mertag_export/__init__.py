"""From a training run to a model bundle: ONNX graphs, proved equal to what was trained."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime: see `mertag.listen.sessions`
