"""The words everything else is written in. Standard library only; no I/O, no Airflow."""
