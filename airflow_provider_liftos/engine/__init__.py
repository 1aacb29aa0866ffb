"""Plan, submit, wait, fetch, split: the engine of extraction. Free of Airflow, killable at any moment."""
