#!/bin/sh
# Postgres runs this once, on an empty volume: the state store and the warehouse have databases of
# their own, out of reach of Airflow's role and the other way round.
set -eu

psql --quiet -v ON_ERROR_STOP=1 -v "password=${LIFTOS_DB_PASSWORD}" \
  --username "${POSTGRES_USER}" --dbname "${POSTGRES_DB}" <<'SQL'
CREATE ROLE liftos LOGIN PASSWORD :'password';
CREATE DATABASE liftos OWNER liftos;
CREATE DATABASE warehouse OWNER liftos;
SQL
