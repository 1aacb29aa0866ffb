#!/usr/bin/env bash
# Brings the metadata up to date and makes connections; runs before everything else of Airflow.
set -euo pipefail

airflow db migrate

# By a file that is gone afterwards: everybody who may list processes reads command lines. Those that
# are there already stay as they are, and Airflow says so.
umask 077
connections="$(mktemp --suffix=.json)"
trap 'rm -f "${connections}"' EXIT
cat > "${connections}" <<END
{
  "liftos_meta_default": ${LIFTOS_META_CONNECTION},
  "liftos_google_ads_default": ${LIFTOS_GOOGLE_ADS_CONNECTION},
  "liftos_tiktok_default": ${LIFTOS_TIKTOK_CONNECTION}
}
END
airflow connections import "${connections}"
