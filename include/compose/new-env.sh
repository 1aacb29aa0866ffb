#!/usr/bin/env bash
# Writes env.example to standard output with fresh keys and passwords.
set -euo pipefail

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'; }
letters() { random 32 | tr -d '=_-'; }

while IFS= read -r line; do
  case "${line}" in
    FERNET_KEY= | API_SECRET_KEY= | LIFTOS_CREDENTIAL_KEYS=) echo "${line}$(random 32)" ;;
    # HS512 wants a key as long as its digest.
    JWT_SECRET=) echo "${line}$(random 64)" ;;
    *_PASSWORD=) echo "${line}$(letters)" ;;
    *) echo "${line}" ;;
  esac
done < "$(dirname "${BASH_SOURCE[0]}")/env.example"
