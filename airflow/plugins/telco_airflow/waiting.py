"""A deferrable operator that waits for rows in the triggerer, without holding a worker."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from telco_airflow import command
from telco_airflow.limits import unreadable_rows_error
from telco_airflow.outcome import Failure

#: Seconds between two checks.
POLL_SECONDS = 5.0


class RowsVisible(BaseTrigger):
    """Fires once the raw topic is readable up to `ends` by committed readers, or with the reason why it is not."""

    def __init__(
        self, words: list[str], folder: str, ends: dict[str, int], until: float, every: float = POLL_SECONDS
    ) -> None:
        super().__init__()
        self.words, self.folder, self.ends, self.until, self.every = words, folder, ends, until, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, with which another triggerer continues."""
        arguments = {name: getattr(self, name) for name in ("words", "folder", "ends", "until", "every")}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Check until the rows are readable, the time is over or a failure is permanent; retry while Kafka is down."""
        missing = await self._check()
        while missing and not (missing.is_permanent or time.time() > self.until):
            await asyncio.sleep(self.every)
            missing = await self._check()
        yield TriggerEvent({"missing": missing and missing.message})

    async def _check(self) -> Failure | None:
        try:
            status = await command.run_async(self.words, self.folder, "status", "--ignore-not-found")
        except OSError as error:
            return Failure(f"{self.words[0]} cannot be started in {self.folder}: {error.strerror}", is_permanent=True)
        if isinstance(status, Failure):
            return status
        unreadable = unreadable_rows_error(status, self.ends)
        return Failure(unreadable) if unreadable else None


class WaitForRows(BaseOperator):
    """Waits until the rows of `produced`, the result of `telco-stream produce`, are readable."""

    template_fields: Sequence[str] = ("produced", "minutes")

    def __init__(self, *, produced: Any, minutes: Any, **kwargs: Any) -> None:  # noqa: ANN401 - templates, resolved at run time
        super().__init__(**kwargs)
        self.produced, self.minutes = produced, minutes

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Defer to the trigger."""
        time_limit = timedelta(minutes=float(self.minutes))
        trigger = RowsVisible(
            words=command.program(),
            folder=command.folder(),
            ends=self.produced["end_offsets"],
            until=time.time() + time_limit.total_seconds(),
        )
        # Airflow's timeout comes after the trigger's, whose message says what is missing.
        self.defer(trigger=trigger, method_name="execute_complete", timeout=time_limit + timedelta(minutes=5))

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> None:  # noqa: ARG002 - Airflow's signature
        """Fail with the reason if the rows are not readable."""
        if event["missing"]:
            raise AirflowException(f"After {float(self.minutes):g} min: {event['missing']}")
