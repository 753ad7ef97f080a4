"""Runs the reference's own IAM service, with its arguments, against a Cassandra node on
the port CASSANDRA_PORT: no option of the service names one, only its driver knows."""
import functools
import os
import sys
from importlib.metadata import entry_points

import cassandra.cluster

cassandra.cluster.Cluster = functools.partial(
    cassandra.cluster.Cluster, port=int(os.environ["CASSANDRA_PORT"]))

[service] = entry_points(group="console_scripts", name="iam-svc")
sys.argv[0] = service.name
service.load()()
