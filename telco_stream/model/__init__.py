"""Models: training, import, model folders, and the engines that score."""

import os

#: Otherwise onnxruntime reports its use to Microsoft, from a thread and with a database in the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
