"""Bulk import and export with the published Python SDK, by its public documentation."""

import os
import queue
import threading
import time

from trustgraph.api import Api, ApplicationException, ProtocolException, Triple
from trustgraph.knowledge import Uri
from user import SDK, URL
from websockets.exceptions import ConnectionClosed


class Bulk(SDK):
    def triples(self, n):
        return [Triple(s=f"http://x/s{i}", p="http://x/p", o=f"http://x/o{i}") for i in range(n)]

    def test_import(self):
        metadata = {"id": "doc", "metadata": [], "collection": "bulk"}
        self.api("WRITER").bulk().import_triples(flow="default", triples=iter(self.triples(1234)), metadata=metadata)
        flow = self.api().flow().id("default")
        found = self.eventually(1234, lambda: flow.triples_query(p=Uri("http://x/p"), collection="bulk"))
        self.assertEqual({f"http://x/s{i}" for i in range(1234)}, {str(t.s) for t in found})
        streamed = self.api().socket().flow("default").triples_query_stream(collection="bulk", limit=1234, batch_size=100)
        self.assertEqual([100] * 12 + [34], [len(batch) for batch in streamed])

    def test_export_of_triples(self):
        """Of a message of triples the SDK makes one empty Triple: it does not look inside,
        whoever has sent it. So they can be counted, not compared."""
        def send(triples):
            self.api("WRITER").bulk().import_triples(flow="default", triples=iter(triples), batch_size=1)

        items = self.exported("export_triples", "default", lambda: send(self.triples(1)))
        send(self.triples(300))
        for _ in range(300):
            self.assertIsInstance(items.get(timeout=30), Triple)

    def test_export_of_embeddings(self):
        """What came in comes out, in order."""
        def send(numbers):
            self.api("WRITER").bulk().import_graph_embeddings(flow="paced", embeddings=map(embedding, numbers))

        items = self.exported("export_graph_embeddings", "paced", lambda: send([0]))
        send(range(1, 300))
        for i in range(1, 300):
            item = items.get(timeout=30)
            while item["metadata"]["id"] == "m0":
                item = items.get(timeout=30)
            self.assertEqual(embedding(i)["entities"], item["entities"])

    def exported(self, method, flow, greet):
        """What an export gives: a live tail, of which one only knows that it listens when
        something comes. It is greeted until then."""
        items = queue.Queue()

        def listen():
            try:
                for item in getattr(self.api("READER").bulk(), method)(flow=flow):
                    items.put(item)
            except Exception as e:
                items.put(e)

        threading.Thread(target=listen, daemon=True).start()
        for _ in range(600):
            try:
                greet()
            except ConnectionClosed as e:  # 1011: no queue is there as long as nobody listens
                self.assertEqual(1011, e.rcvd.code)
            if not items.empty():
                return items
            time.sleep(0.05)
        self.fail("nothing is exported")

    def test_workspace_is_the_users(self):
        """The SDK names no workspace in bulk calls; the reference always took `default`."""
        admin = self.api(workspace="acme")
        admin.flow().start("demo", "theirs", "a flow of acme", {})
        theirs = Api(url=URL, token=os.environ["STRANGER"], timeout=30, workspace="acme")
        flow = theirs.flow().id("theirs")
        self.eventually(4, lambda: attempt(lambda: flow.text_completion(system="", prompt="here").text))
        theirs.bulk().import_triples(flow="theirs", triples=iter(self.triples(10)))
        self.eventually(10, lambda: flow.triples_query(p=Uri("http://x/p")))

    def test_refused(self):
        for who, flow in (("READER", "default"), ("STRANGER", "default"), ("WRITER", "absent")):
            with self.assertRaises(Exception):
                self.api(who).bulk().import_triples(flow=flow, triples=iter(self.triples(1)))


def embedding(i):
    """Message i of an import of graph embeddings."""
    entity = {"entity": {"t": "i", "i": f"http://x/e{i}"}, "vector": [i, 0.5, -2.25]}
    return {"metadata": {"id": f"m{i}", "collection": "c"}, "entities": [entity]}


def attempt(query):
    """A result, or nothing while it fails."""
    try:
        return query()
    except (ApplicationException, ProtocolException):
        return ()
