"""Waiting for rows without a worker: the operator asks its question and leaves; the triggerer goes on asking."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from telco_airflow import command
from telco_airflow.limits import still_hidden
from telco_airflow.outcome import Failure

#: Seconds between two questions.
EVERY = 5.0


class RowsVisible(BaseTrigger):
    """Fires once a reader of committed records gets to `ends` of the raw topic, or says by what it was kept from it."""

    def __init__(self, words: list[str], folder: str, ends: dict[str, int], until: float, every: float = EVERY) -> None:
        super().__init__()
        self.words, self.folder, self.ends, self.until, self.every = words, folder, ends, until, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What another triggerer needs to go on."""
        kept = {name: getattr(self, name) for name in ("words", "folder", "ends", "until", "every")}
        return f"{type(self).__module__}.{type(self).__qualname__}", kept

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until it is so; a Kafka that is away is asked again, what a second question can't change ends it."""
        missing = await self._look()
        while missing and not (missing.hopeless or time.time() > self.until):
            await asyncio.sleep(self.every)
            missing = await self._look()
        yield TriggerEvent({"missing": missing and missing.message})

    async def _look(self) -> Failure | None:
        try:
            found = await command.ask(self.words, self.folder, "status")
        except OSError as error:
            return Failure(f"{self.words[0]} can't be started in {self.folder}: {error.strerror}", hopeless=True)
        if isinstance(found, Failure):
            return found
        hidden = still_hidden(found, self.ends)
        return Failure(hidden) if hidden else None


class WaitForRows(BaseOperator):
    """Done once the rows of `produced`, the result of `telco-stream produce`, can be read; holds no worker."""

    template_fields: Sequence[str] = ("produced", "minutes")

    def __init__(self, *, produced: Any, minutes: Any, **kwargs: Any) -> None:  # noqa: ANN401 - resolved at run time
        super().__init__(**kwargs)
        self.produced, self.minutes = produced, minutes

    def execute(self, context: Context) -> None:  # noqa: ARG002 - as Airflow calls it
        """Hand the question to the triggerer."""
        patience = timedelta(minutes=float(self.minutes))
        trigger = RowsVisible(
            words=command.program(),
            folder=command.folder(),
            ends=self.produced["end_offsets"],
            until=time.time() + patience.total_seconds(),
        )
        # Airflow's own time limit stands behind the trigger's, which can say what is missing.
        self.defer(trigger=trigger, method_name="see", timeout=patience + timedelta(minutes=5))

    def see(self, context: Context, event: Mapping[str, Any]) -> None:  # noqa: ARG002 - as Airflow calls it
        """Fail where the rows have not come, and say which."""
        if event["missing"]:
            raise AirflowException(f"After {float(self.minutes):g} min: {event['missing']}")
