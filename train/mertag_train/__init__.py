"""Training and evaluation: data sets, folds, the network, the song classifier, metrics.

Importing this package loads nothing heavy; each module imports what it needs. `mertag_train` imports `mertag`,
never the other way.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime: see `mertag.listen.sessions`
