#!/usr/bin/env bash
# Brings the metadata up to date and makes the connection; runs before everything else of Airflow.
set -euo pipefail

airflow db migrate

if airflow connections get liftos_meta_default >/dev/null 2>&1; then
  echo "liftos_meta_default is there already; it stays as it is"
else
  airflow connections add liftos_meta_default --conn-json "${LIFTOS_META_CONNECTION}" >/dev/null
  echo "liftos_meta_default made"
fi
