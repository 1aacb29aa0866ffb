#!/usr/bin/env bash
# Writes env.example to standard output with fresh keys and passwords.
set -euo pipefail

random() { head -c 32 /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'; }
letters() { random | tr -d '=_-'; }

while IFS= read -r line; do
  case "${line}" in
    FERNET_KEY= | JWT_SECRET= | API_SECRET_KEY= | LIFTOS_CREDENTIAL_KEYS=) echo "${line}$(random)" ;;
    *_PASSWORD=) echo "${line}$(letters)" ;;
    *) echo "${line}" ;;
  esac
done < "$(dirname "${BASH_SOURCE[0]}")/env.example"
