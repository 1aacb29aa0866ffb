"""Airflow connections into sessions, and Airflow's configuration into ours."""
