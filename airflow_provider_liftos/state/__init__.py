"""The store that processes share: clock, tables, leases, ledgers."""
