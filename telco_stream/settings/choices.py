"""Parts put together into runs, for the command line and the demo alike: a page for each side of the raw topic."""

from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["batch", "streaming"]
DeliveryGuarantee: TypeAlias = Literal["exactly-once", "at-least-once"]
