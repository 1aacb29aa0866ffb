"""Airflow provider for advertising, commerce, CRM and payment platforms.

Nothing is imported here: Airflow imports this package in every process, before its configuration
is ready.
"""

__version__ = "0.1.0"
