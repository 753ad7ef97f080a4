"""A user of the published Python SDK."""

import os
import sys
import time
import unittest
import warnings

from trustgraph.api import Api

URL = os.environ["GATEWAY"] + "/"

# Of a failure only our own line is shown: the SDK is used, not read.
sys.tracebacklimit = 1


class SDK(unittest.TestCase):
    def api(self, who="ADMIN", **options):
        api = Api(url=URL, token=os.environ[who], timeout=30, **options)
        self.addCleanup(api.close)
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK leaves event loops open
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
