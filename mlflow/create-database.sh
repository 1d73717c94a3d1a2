#!/bin/sh
# Run once by the postgres image when its volume is empty: a database of its own for MLflow.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$MLFLOW_DB_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
SQL
