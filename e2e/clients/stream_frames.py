"""Import and export of a flow, frame by frame."""

import asyncio
import json
import os

from gateway import Case, WS, receive, send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

IMPORT = "/api/v1/flow/default/import/triples"
EXPORT = "/api/v1/flow/default/export/triples"


def iri(name):
    return {"t": "i", "i": name}


def message(i, collection):
    """One frame of an import: one triple."""
    triple = {"s": iri(f"s{i}"), "p": iri("p"), "o": {"t": "l", "v": f"Wert {i} ü"}}
    return {"metadata": {"id": f"m{i}", "metadata": [], "collection": collection}, "triples": [triple]}


class Streams(Case):
    async def stream(self, path, who="WRITER"):
        join = "&" if "?" in path else "?"
        return await self.open(f"{path}{join}token={os.environ[who]}")

    async def stored(self, collection, who="WRITER"):
        """What the triple store of the flow has."""
        ws = await self.signed_in(who)
        query = {"p": iri("p"), "collection": collection, "limit": 100000}
        await send(ws, {"id": 1, "service": "triples", "flow": "default", "request": query})
        answer = await receive(ws)
        await ws.close()
        return {t["s"]["i"] for t in answer["response"]["response"]}

    async def eventually_stored(self, collection, names):
        for _ in range(600):
            if await self.stored(collection) == names:
                return
            await asyncio.sleep(0.05)
        self.fail(f"{len(await self.stored(collection))} of {len(names)} in {collection}")


class Import(Streams):
    async def test_clean_close_means_everything_is_in_a_queue(self):
        ws = await self.stream(IMPORT)
        for i in range(2000):
            await send(ws, message(i, "plain"))
        await ws.close()
        self.assertEqual(1000, ws.close_code)
        await self.eventually_stored("plain", {f"s{i}" for i in range(2000)})

    async def test_acknowledgements(self):
        ws = await self.stream(IMPORT + "?ack=100")
        for i in range(1050):
            await send(ws, message(i, "acks"))
        acks = [0]
        while acks[-1] < 999:
            acks.append((await receive(ws))["ack"])
        self.assertEqual(sorted(set(acks)), acks)
        closing = asyncio.create_task(ws.close())
        while acks[-1] < 1049:
            acks.append((await receive(ws))["ack"])
        await closing
        self.assertEqual(1000, ws.close_code)
        await self.eventually_stored("acks", {f"s{i}" for i in range(1050)})

    async def test_header_and_first_frame_authenticate(self):
        ws = await self.open(IMPORT, additional_headers={"Authorization": "Bearer " + os.environ["WRITER"]})
        await send(ws, message(1, "header"))
        await ws.close()
        ws = await self.open(IMPORT)
        await send(ws, {"type": "auth", "token": os.environ["WRITER"]})
        self.assertEqual("auth-ok", (await receive(ws))["type"])
        await send(ws, message(2, "header"))
        await ws.close()
        await self.eventually_stored("header", {"s1", "s2"})

    async def test_bad_frame_closes(self):
        for bad in ("{", "[]", '{"metadata":{"id":"x","collection":"c"}}', '{"triples":[]}', '{"s":"a","p":"b","o":"c"}'):
            ws = await self.stream(IMPORT)
            await send(ws, message(1, "bad"))
            await ws.send(bad)
            code, reason = await self.closed(ws)
            self.assertEqual(1007, code, bad)
            self.assertIn("1", reason, bad)

    async def test_bad_frame_is_reported_with_acks(self):
        ws = await self.stream(IMPORT + "?ack=1")
        await send(ws, message(0, "reported"))
        await ws.send('{"triples":[]}')
        await send(ws, message(2, "reported"))
        frames = [await receive(ws)]
        while frames[-1].get("ack") != 2:
            frames.append(await receive(ws))
        errors = [f for f in frames if "error" in f]
        self.assertEqual([1], [f["index"] for f in errors])
        await ws.close()
        await self.eventually_stored("reported", {"s0", "s2"})

    async def test_refused_before_the_upgrade(self):
        for path, who, status in (
            (IMPORT, None, None),  # may still authenticate in band
            (IMPORT + "?token=tg_wrong", None, 401),
            (IMPORT, "READER", 403),
            (IMPORT + "?workspace=default", "STRANGER", 403),
            (IMPORT.replace("/default/", "/absent/"), "WRITER", 404),
            (IMPORT.replace("triples", "nothing"), "WRITER", 404),
            (EXPORT.replace("triples", "rows"), "WRITER", 404),
            (EXPORT + "?workspace=default", "STRANGER", 403),
            (EXPORT, "STRANGER", 404),  # acme has no such flow
            (EXPORT.replace("/default/", "/absent/"), "WRITER", 404),
        ):
            headers = {"Authorization": "Bearer " + os.environ[who]} if who else {}
            try:
                async with connect(WS + path, proxy=None, additional_headers=headers):
                    got = None
            except InvalidStatus as e:
                got = e.response.status_code
                self.assertIn("error", json.loads(e.response.body))
            self.assertEqual(status, got, (path, who))


class Export(Streams):
    async def test_receives_what_import_sends(self):
        taps = [await self.stream(EXPORT, "READER") for _ in range(3)]
        ws = await self.stream(IMPORT)
        for i in range(500):
            await send(ws, message(i, "tail"))
        await ws.close()
        self.assertEqual(1000, ws.close_code)
        for tap in taps:
            for i in range(500):
                frame = await receive(tap)
                self.assertEqual(f"m{i}", frame["metadata"]["id"])
                self.assertEqual(message(i, "tail")["triples"], frame["triples"])

    async def test_overflow_choices(self):
        taps = [await self.stream(EXPORT + "?overflow=" + how, "READER") for how in ("drop-oldest", "block")]
        ws = await self.stream(IMPORT)
        await send(ws, message(1, "overflow"))
        await ws.close()
        for tap in taps:
            self.assertEqual("m1", (await receive(tap))["metadata"]["id"])

    async def test_client_close(self):
        tap = await self.stream(EXPORT, "READER")
        await tap.close()
        self.assertEqual(1000, tap.close_code)
