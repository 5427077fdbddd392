#!/bin/bash
# Runs once, when the database is empty: a role that can read everything in it and write nothing, for the MCPs.
set -e
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat /run/keys/POSTGRES_READER_PASSWORD`
create role mcp_reader login password :'password' nosuperuser nocreatedb nocreaterole noinherit connection limit 20;
alter role mcp_reader set default_transaction_read_only = on;
alter role mcp_reader set statement_timeout = '60s';
revoke all on database :"DBNAME" from public;
grant connect on database :"DBNAME" to mcp_reader;
revoke create on schema public from public;
grant usage on schema public to mcp_reader;
grant select on all tables in schema public to mcp_reader;
alter default privileges in schema public grant select on tables to mcp_reader;
SQL
