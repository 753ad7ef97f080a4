"""Sockets when the gateway is told to end."""

import asyncio
import os
import signal
from urllib.request import urlopen

from gateway import PATIENCE, Case, completion, receive, send


class SIGTERM(Case):
    async def test_requests_finish_and_sockets_are_told(self):
        busy, idle = await self.signed_in(), await self.signed_in()
        export = await self.open("/api/v1/flow/default/export/triples?token=" + os.environ["READER"])
        feeding = await self.open("/api/v1/flow/default/import/triples?ack=1&token=" + os.environ["WRITER"])
        await send(busy, completion(1, "hold on", flow="paced"))
        self.assertFalse((await receive(busy))["complete"])
        triple = {k: {"t": "i", "i": k} for k in "spo"}
        await send(feeding, {"metadata": {"id": "m", "collection": "c"}, "triples": [triple]})
        os.kill(int(os.environ["PID"]), signal.SIGTERM)
        for ws in (idle, export, feeding):
            self.assertEqual(1001, (await self.closed(ws))[0])
        os.kill(int(os.environ["PID"]), 0)  # it waits for the busy one
        # It takes no new requests: the service is told otherwise.
        await asyncio.to_thread(urlopen, os.environ["RELEASE"] + "/on", timeout=PATIENCE)
        frame = await receive(busy)
        self.assertEqual((1, True), (frame["id"], frame["complete"]))
        self.assertEqual(1001, (await self.closed(busy))[0])
