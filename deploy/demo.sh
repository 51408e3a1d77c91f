#!/bin/sh
# `make demo`: quickstart on a scratch data folder and a free port, leaving nothing behind.
set -eu
BIN=${BIN:-.venv/bin}
unset DATABASE_URL DB_HOST DIRECT_DATABASE_URL
EMBEDDED_DATA_DIR=.data/demo-$$
PORT=0
export EMBEDDED_DATA_DIR PORT
cleanup() { "$BIN/python" manage.py embedded_db stop --remove >/dev/null 2>&1 || true; }
trap cleanup EXIT
trap 'exit 130' INT TERM
"$BIN/python" manage.py quickstart --demo
