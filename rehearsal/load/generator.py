"""An open loop: requests leave at a fixed rate, however long the answers take."""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from rehearsal.load.client import Client
from rehearsal.load.live import Live
from rehearsal.load.mix import PATIENCE_SECONDS, Call, Mix

STATUS_SECONDS = 1.0


class Generator:
    """Sends calls of a mix until it is stopped, then waits for the open answers."""

    def __init__(
        self,
        client: Client,
        mix: Mix,
        *,
        rate_per_second: float,
        records: TextIO,
        status: TextIO,
        gateway: TextIO | None = None,
    ) -> None:
        self._client = client
        self._gateway = gateway
        self._mix = mix
        self._interval_seconds = 1 / rate_per_second
        self._records = records
        self._status = status
        self._live = Live()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Start no more requests. `run` returns when the open ones have ended."""
        self._stopped.set()

    async def run(self) -> None:
        """Generate traffic until `stop`."""
        reporting = asyncio.create_task(self._report())
        async with asyncio.TaskGroup() as requests:
            due = time.monotonic()
            while not await self._stopped_before(due):
                call = self._mix.next(self._live.open_streams)
                self._live.request_started(stream=call.stream)
                requests.create_task(self._send(call))
                due += self._interval_seconds
        reporting.cancel()
        self._report_once()

    async def _stopped_before(self, due: float) -> bool:
        delay = due - time.monotonic()
        # Yield to other tasks even when late: this is the only place where the loop waits.
        await asyncio.sleep(max(0.0, delay))
        return self._stopped.is_set()

    async def _send(self, call: Call) -> None:
        if self._gateway is not None:
            self._gateway.write(gateway_line(self._client.body(call), time.time()) + "\n")
        record = await self._client.send(call)
        self._live.request_finished(record)
        if record.finish_reason == "length" and record.ttft_seconds is not None:
            self._mix.learn(call.max_tokens - 1, record.duration_seconds - record.ttft_seconds)
        self._records.write(record.line() + "\n")

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            self._report_once()

    def _report_once(self) -> None:
        self._records.flush()
        if self._gateway is not None:
            self._gateway.flush()
        print(json.dumps(self._live.snapshot()), file=self._status, flush=True)


def gateway_line(body: Mapping[str, Any], at: float) -> str:
    """Return a request as a gateway logs it: the body and its arrival time in seconds since the epoch."""
    return json.dumps({"timestamp": round(at, 3), **body}, ensure_ascii=False)


async def generate(
    *,
    url: str,
    model: str,
    rate_per_second: float,
    mix: Mix,
    out: Path,
    status: TextIO,
    gateway_log: Path | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    stop_after_seconds: float | None,
    stop_signals: tuple[int, ...] = (),
) -> None:
    """Send traffic to `url` until a signal or `seconds` end it. Records go to `out`, status lines to `status`, and
    requests, as a gateway in front of the service would log them, to `gateway_log`.
    """
    loop = asyncio.get_running_loop()
    with ExitStack() as files:
        records = files.enter_context(out.open("w", encoding="utf-8"))
        gateway = None if gateway_log is None else files.enter_context(gateway_log.open("a", encoding="utf-8"))
        async with Client.session() as session:
            generator = Generator(
                Client(session, url, model, patience_seconds=patience_seconds),
                mix,
                rate_per_second=rate_per_second,
                records=records,
                status=status,
                gateway=gateway,
            )
            for number in stop_signals:
                loop.add_signal_handler(number, generator.stop)
            if stop_after_seconds is not None:
                loop.call_later(stop_after_seconds, generator.stop)
            await generator.run()
