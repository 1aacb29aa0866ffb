#!/bin/sh
# Postgres runs this once, on an empty volume: a database of its own for the state store.
set -eu

psql --quiet -v ON_ERROR_STOP=1 -v "password=${LIFTOS_DB_PASSWORD}" \
  --username "${POSTGRES_USER}" --dbname "${POSTGRES_DB}" <<'SQL'
CREATE ROLE liftos LOGIN PASSWORD :'password';
CREATE DATABASE liftos OWNER liftos;
SQL
