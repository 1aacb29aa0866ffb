#!/bin/sh
# Postgres runs this once, on an empty volume: the state store and the warehouse have databases of
# their own, out of reach of Airflow's role and the other way round.
set -eu

# The password is read from the environment by psql itself, not shown on its command line.
psql --quiet -v ON_ERROR_STOP=1 \
  --username "${POSTGRES_USER}" --dbname "${POSTGRES_DB}" <<'SQL'
\getenv password LIFTOS_DB_PASSWORD
CREATE ROLE liftos LOGIN PASSWORD :'password';
CREATE DATABASE liftos OWNER liftos;
CREATE DATABASE warehouse OWNER liftos;
SQL
