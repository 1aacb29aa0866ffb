"""A Databricks SQL warehouse on loopback: the vendor's thrift protocol over DuckDB.

It speaks to the vendor's own connector and hook, which need no change but for the address. What it
proves is wire and client behaviour and the meaning of statements; it knows nothing of how Delta
Lake keeps writers apart, of privileges, clusters and cost.

Importing this package needs neither the connector nor sqlglot; starting a server needs both.
"""

from .door import DatabricksSandbox
from .lakehouse import Refused

__all__ = ["DatabricksSandbox", "Refused"]
