"""From a training run to a model bundle: ONNX graphs, proved equal to what was trained."""
