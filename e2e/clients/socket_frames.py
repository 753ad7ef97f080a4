"""The multiplexed socket, frame by frame."""

import json
import os

from gateway import Case, completion, receive, send


class Authentication(Case):
    async def test_nothing_without(self):
        ws = await self.open()
        await send(ws, completion(7, "x"))
        refusal = {"id": 7, "error": {"message": "auth failure", "type": "auth-required"}, "complete": True}
        self.assertEqual(refusal, await receive(ws))
        for token in ("", "tg_wrong", "a.b.c", 5, None):
            await send(ws, {"type": "auth", "token": token})
            self.assertEqual({"type": "auth-failed", "error": "auth failure"}, await receive(ws))
        await send(ws, {"type": "auth", "token": os.environ["STRANGER"]})
        self.assertEqual({"type": "auth-ok", "workspace": "acme"}, await receive(ws))

    async def test_silently_by_query_or_header(self):
        header = {"Authorization": "Bearer " + os.environ["READER"]}
        for options in ({"path": "/api/v1/socket?token=" + os.environ["READER"]}, {"additional_headers": header}):
            ws = await self.open(**options)
            await send(ws, completion(1, "x"))
            self.assertIn("response", await receive(ws))

    async def test_wrong_query_token_is_no_handshake_failure(self):
        ws = await self.open("/api/v1/socket?token=tg_wrong")
        await send(ws, completion(1, "x"))
        self.assertEqual("auth-required", (await receive(ws))["error"]["type"])

    async def test_any_origin(self):
        await self.signed_in(origin="https://elsewhere.example")


class Requests(Case):
    async def test_streamed_completion(self):
        ws = await self.signed_in()
        text = "one two three four Grüße 🐇"
        await send(ws, completion("s", text))
        parts = []
        while not parts or not parts[-1]["complete"]:
            parts.append(await receive(ws))
            self.assertEqual("s", parts[-1]["id"])
        self.assertEqual(text, "".join(p["response"]["response"] for p in parts))
        self.assertEqual(6, len(parts))
        self.assertEqual([False] * 5 + [True], [p["complete"] for p in parts])
        self.assertEqual("echo", parts[-1]["response"]["model"])

    async def test_ids_come_back_as_they_went(self):
        ws = await self.signed_in()
        for id in ('7', '-0.50', '1E+2', '"a\\u0062"', '{"k" : [1, {}]}', 'null', 'true', '""', '"' + "x" * 1000 + '"'):
            await ws.send('{"service":"text-completion","flow":"paced","request":{"system":"","prompt":"p"},"id":%s}' % id)
            self.assertIn(id, await ws.recv())

    async def test_binary_frames_are_read_too(self):
        ws = await self.signed_in()
        await ws.send(json.dumps(completion("b", "p", flow="paced")).encode())
        answer = await ws.recv()
        self.assertIsInstance(answer, str)
        self.assertEqual("p", json.loads(answer)["response"]["response"])

    async def test_fragmented_frames(self):
        ws = await self.signed_in()
        text = json.dumps(completion("f", "Grüße", flow="paced"), ensure_ascii=False)
        await ws.send(text[i : i + 7] for i in range(0, len(text), 7))
        self.assertEqual("Grüße", (await receive(ws))["response"]["response"])

    async def test_answers_interleave(self):
        ws = await self.signed_in()
        await send(ws, completion(1, "hold it", flow="paced"))
        self.assertEqual((1, False), pick(await receive(ws)))
        for i in range(2, 102):  # while the first one is held
            await send(ws, completion(i, f"quick {i}", flow="paced"))
        answers = {}
        for _ in range(100):
            frame = await receive(ws)
            self.assertTrue(frame["complete"])
            answers[frame["id"]] = frame["response"]["response"]
        self.assertEqual({i: f"quick {i}" for i in range(2, 102)}, answers)
        await send(ws, completion(102, "release it", flow="paced"))
        self.assertEqual({(1, True), (102, True)}, {pick(await receive(ws)), pick(await receive(ws))})

    async def test_errors_do_not_close(self):
        ws = await self.signed_in()
        for text, message in (
            ("{", None),
            ("[]", None),
            ('{"id":1}', "Bad message"),
            ('{"request":{}}', "Bad message"),
            ('{"id":1,"request":{}}', "'service'"),
            ('{"id":1,"request":{},"service":"nothing"}', "'nothing'"),
            ('{"id":1,"request":{},"service":"triples","flow":"absent"}', "Invalid flow default/absent"),
            ('{"id":1,"request":{},"service":"agent","flow":"default"}', "This kind not supported by flow"),
            ('{"id":1,"request":{},"service":"nothing","flow":"default"}', "Invalid kind"),
        ):
            await ws.send(text)
            frame = await receive(ws)
            self.assertTrue(frame["complete"], text)
            self.assertEqual("error", frame["error"]["type"], text)
            if message is not None:
                self.assertEqual(message, frame["error"]["message"], text)
        await send(ws, completion("after", "p", flow="paced"))
        self.assertEqual("after", (await receive(ws))["id"])


class Connection(Case):
    async def test_pings_are_answered(self):
        ws = await self.signed_in()
        await send(ws, completion(1, "hold pings", flow="paced"))
        self.assertFalse((await receive(ws))["complete"])
        for payload in (b"", b"x" * 125):
            await (await ws.ping(payload))
        await send(ws, completion(2, "release pings", flow="paced"))
        await receive(ws), await receive(ws)

    async def test_close_is_echoed(self):
        ws = await self.signed_in()
        await ws.close()
        self.assertEqual(1000, ws.close_code)

    async def test_frames_that_close(self):
        ws = await self.signed_in()
        await ws.send(b'{"id":"\xff"}', text=True)
        self.assertEqual(1007, (await self.closed(ws))[0])
        ws = await self.signed_in(compression=None)
        await ws.send(b" " * (50 << 20) + b"!")
        self.assertEqual(1009, (await self.closed(ws))[0])

    async def test_largest_frame(self):
        ws = await self.signed_in(compression=None)
        frame = json.dumps(completion("large", "", flow="paced", padding="@")).split("@")
        await ws.send(("x" * ((50 << 20) - sum(map(len, frame)))).join(frame))
        self.assertEqual("large", (await receive(ws))["id"])

    async def test_little_before_authentication(self):
        ws = await self.open(compression=None)
        await ws.send(" " * (65 << 10))
        self.assertEqual(1009, (await self.closed(ws))[0])


class Attacks(Case):
    """What the reference lets pass."""

    async def refused(self, ws, frame, type="access-denied"):
        await ws.send(frame if isinstance(frame, str) else json.dumps(frame))
        answer = await receive(ws)
        self.assertEqual(type, answer.get("error", {}).get("type"), frame)
        self.assertTrue(answer["complete"])

    async def test_reader_calls_what_only_admins_may(self):
        ws = await self.signed_in("READER")
        for service, request in (
            ("iam", {"operation": "create-user", "user": {"username": "mallory", "password": "x", "roles": ["admin"]}}),
            ("iam", {"operation": "list-users"}),
            ("config", {"operation": "put", "values": []}),
            ("config", {"operation": "delete", "keys": []}),
            ("config", {"operation": "getvalues-all-ws", "type": "flow"}),
            ("flow", {"operation": "stop-flow", "flow-id": "default"}),
            ("knowledge", {"operation": "delete-kg-core", "id": "x"}),
            ("librarian", {"operation": "remove-document", "document-id": "x"}),
            ("collection-management", {"operation": "delete-collection", "collection": "x"}),
        ):
            await self.refused(ws, {"id": 1, "service": service, "request": request})
        await self.refused(ws, {"id": 1, "service": "text-load", "flow": "default", "request": {"text": "eA=="}})
        await send(ws, {"id": 2, "service": "config", "request": {"operation": "list", "type": "flow"}})
        self.assertIn("default", (await receive(ws))["response"]["directory"])

    async def test_foreign_workspace(self):
        ws = await self.signed_in("STRANGER")  # of acme
        listing = {"operation": "list", "type": "flow"}
        await self.refused(ws, {"id": 1, "service": "config", "workspace": "default", "request": listing})
        await self.refused(ws, {"id": 1, "service": "config", "request": {**listing, "workspace": "default"}})
        await self.refused(ws, completion(1, "x", workspace="default"))
        await send(ws, completion(1, "x"))
        self.assertEqual("Invalid flow acme/default", (await receive(ws))["error"]["message"])

    async def test_inner_request_inherits_the_envelope(self):
        ws = await self.signed_in("ADMIN")
        await send(ws, {"id": 1, "service": "config", "workspace": "acme", "request": {"operation": "list", "type": "flow"}})
        self.assertEqual([], (await receive(ws))["response"]["directory"])

    async def test_duplicate_members_smuggle_nothing(self):
        ws = await self.signed_in("READER")
        for frame in (
            '{"id":1,"service":"config","service":"iam","request":{"operation":"list-users"}}',
            '{"id":1,"service":"config","request":{"operation":"list","operation":"put","values":[]}}',
            '{"id":1,"service":"config","request":{"operation":"list"},"request":{"operation":"put","values":[]}}',
            '{"id":1,"service":"config","request":{"operation":"list","type":"flow","workspace":"default","workspace":"acme"}}',
            '{"id":1,"service":"config","workspace":"default","workspace":"acme","request":{"operation":"list","type":"flow"}}',
            '{"id":1,"service":"config","request":{"operation":"list","oper\\u0061tion":"put","values":[]}}',
            '{"id":1,"serv\\u0069ce":"iam","request":{"operation":"list-users"}}',
        ):
            await self.refused(ws, frame)


def pick(frame):
    return frame["id"], frame["complete"]
