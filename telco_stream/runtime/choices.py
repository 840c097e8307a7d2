"""Values of options that commands share with the command line; imports nothing, so that `--help` stays fast."""

from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["batch", "streaming"]
DeliveryGuarantee: TypeAlias = Literal["exactly-once", "at-least-once"]
Engine: TypeAlias = Literal["auto", "onnx", "sklearn"]
