"""Airflow tasks: thin. They read the context, call an engine, and say how it went."""
