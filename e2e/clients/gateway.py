"""How the scripts that send raw frames reach the gateway."""

import asyncio
import json
import os
import unittest

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

HTTP = os.environ["GATEWAY"]
WS = HTTP.replace("http", "ws", 1)

# No answer takes that long: it ends tests that have failed.
PATIENCE = 30


async def end(ws):
    """Closes what the gateway has not closed already: the library's close stumbles over
    a connection that ended while it was still sending."""
    if ws.close_code is None:
        await ws.close()


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)  # it complains of slowness

    async def open(self, path="/api/v1/socket", **options):
        """A connection that ends with the test."""
        ws = await connect(WS + path, proxy=None, open_timeout=PATIENCE, max_size=None, **options)
        self.addAsyncCleanup(end, ws)
        return ws

    async def signed_in(self, who="READER", **options):
        """A socket that has authenticated in band."""
        ws = await self.open(**options)
        await send(ws, {"type": "auth", "token": os.environ[who]})
        self.assertEqual("auth-ok", (await receive(ws))["type"])
        return ws

    async def closed(self, ws):
        """The code and reason with which the gateway closes, after whatever else it says."""
        with self.assertRaises(ConnectionClosed):
            while True:
                await asyncio.wait_for(ws.recv(), PATIENCE)
        return ws.close_code, ws.close_reason


async def send(ws, frame):
    await ws.send(json.dumps(frame))


async def receive(ws):
    return json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))


def completion(id, prompt, flow="default", **members):
    """A frame that asks for a streamed completion."""
    request = {"system": "", "prompt": prompt, "streaming": True}
    return {"id": id, "service": "text-completion", "flow": flow, "request": request, **members}
