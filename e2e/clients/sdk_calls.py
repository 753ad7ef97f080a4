"""Calls with the published Python SDK, by its public documentation."""

import asyncio
import os

from trustgraph.api import Api, ApplicationException, ProtocolException
from trustgraph.knowledge import Literal, Uri
from user import SDK, URL


class REST(SDK):
    def setUp(self):
        self.flow = self.api().flow().id("default")

    def test_text_completion(self):
        result = self.flow.text_completion(system="You are an echo.", prompt="Grüße, bus! 🐇")
        self.assertEqual("Grüße, bus! 🐇", result.text)
        self.assertEqual("echo", result.model)
        self.assertEqual((7, 3), (result.in_token, result.out_token))

    def test_embeddings(self):
        vectors = self.flow.embeddings(["a cat", "a dog", "a cat"])
        self.assertEqual(3, len(vectors))
        self.assertEqual(vectors[0], vectors[2])
        self.assertNotEqual(vectors[0], vectors[1])

    def test_triples_query(self):
        self.flow.load_text(b'alice knows bob .\nbob knows carol .\nbob age "42" .', id="doc-1", collection="rest")
        knows = self.eventually(2, lambda: self.flow.triples_query(p=Uri("knows"), collection="rest"))
        self.assertEqual({("alice", "bob"), ("bob", "carol")}, {(str(t.s), str(t.o)) for t in knows})
        ages = self.flow.triples_query(o=Literal("42"), collection="rest")
        self.assertEqual(["bob"], [str(t.s) for t in ages])

    def test_config_and_flows(self):
        api = self.api()
        self.assertIn("default", api.flow().list())
        self.assertIn("default", api.flow().get("default")["interfaces"]["triples"]["request"])

    def test_errors(self):
        with self.assertRaises(ApplicationException):  # 200 with an error text
            self.api().flow().id("absent").text_completion(system="s", prompt="p")
        with self.assertRaisesRegex(ProtocolException, "403"):
            self.api("READER").flow().stop("default")
        bad = Api(url=URL, token="tg_nobody", timeout=30)
        with self.assertRaisesRegex(ProtocolException, "401"):
            bad.flow().id("default").text_completion(system="s", prompt="p")


class Socket(SDK):
    def test_streamed_completion(self):
        flow = self.api().socket().flow("default")
        chunks = list(flow.text_completion(system="", prompt="one two three four", streaming=True))
        self.assertEqual("one two three four", "".join(c.content for c in chunks))
        self.assertEqual([False] * (len(chunks) - 1) + [True], [c.end_of_stream for c in chunks])
        self.assertGreaterEqual(len(chunks), 4)
        self.assertEqual((4, 4, "echo"), (chunks[-1].in_token, chunks[-1].out_token, chunks[-1].model))

    def test_completion_and_embeddings(self):
        flow = self.api("READER").socket().flow("default")
        self.assertEqual("whole", flow.text_completion(system="", prompt="whole").text)
        self.assertIn("vectors", flow.embeddings(texts=["a cat"]))

    def test_error(self):
        flow = self.api().socket().flow("absent")
        with self.assertRaisesRegex(Exception, "Invalid flow"):
            flow.text_completion(system="", prompt="p")

    def test_asynchronous(self):
        async def run(flow):
            chunks = await maybe(flow.text_completion(system="", prompt="one two three", streaming=True))
            return "".join([c.content async for c in chunks])

        self.assertEqual("one two three", self.asynchronously(run))

    def test_many_at_once(self):
        texts = [f"number {i}" for i in range(300)]

        async def run(flow):
            answers = await asyncio.gather(*(flow.text_completion(system="", prompt=text) for text in texts))
            return [a.text for a in answers]

        self.assertEqual(texts, self.asynchronously(run))

    def asynchronously(self, run):
        async def main():
            api = Api(url=URL, token=os.environ["READER"], timeout=30)
            try:
                socket = await maybe(api.async_socket())
                await socket.connect()
                return await run(socket.flow("default"))
            finally:
                await api.aclose()

        return asyncio.run(main())


async def maybe(value):
    """The asynchronous half of the SDK has coroutines where one expects objects."""
    return await value if asyncio.iscoroutine(value) else value
