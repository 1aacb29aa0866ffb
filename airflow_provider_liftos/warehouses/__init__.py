"""Warehouses: audit schema, atomic publishing and views, the same on every engine."""
