#!/usr/bin/env bash
# Brings the metadata up to date and makes connections; runs before everything else of Airflow.
set -euo pipefail

airflow db migrate

connect() {
  if airflow connections get "$1" >/dev/null 2>&1; then
    echo "$1 is there already; it stays as it is"
  else
    airflow connections add "$1" --conn-json "$2" >/dev/null
    echo "$1 made"
  fi
}

connect liftos_meta_default "${LIFTOS_META_CONNECTION}"
connect liftos_google_ads_default "${LIFTOS_GOOGLE_ADS_CONNECTION}"
connect liftos_tiktok_default "${LIFTOS_TIKTOK_CONNECTION}"
