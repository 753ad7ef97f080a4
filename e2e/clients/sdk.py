"""What a user of the published Python SDK does, by its public documentation."""

import os
import time
import unittest

from trustgraph.api import Api, ApplicationException, ProtocolException
from trustgraph.knowledge import Literal, Uri

URL = os.environ["GATEWAY"] + "/"


class SDK(unittest.TestCase):
    def api(self, who="ADMIN", **options):
        api = Api(url=URL, token=os.environ[who], timeout=30, **options)
        self.addCleanup(api.close)
        return api

    def eventually(self, many, query):
        """Ask until there are so many results: loading is done in the background."""
        end = time.monotonic() + 30
        found = query()
        while len(found) < many and time.monotonic() < end:
            time.sleep(0.05)
            found = query()
        self.assertEqual(many, len(found))
        return found


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
