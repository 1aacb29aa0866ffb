"""Commands, and the local Airflow they and the tests run on."""
