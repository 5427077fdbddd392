#!/bin/bash
# Gives LiteLLM a role and a database of its own, and the password of now. Runs to its end before LiteLLM starts, each time: on a volume
# that is older than it, too, and on one that was restored, where the tables are still the superuser's.
set -e
export PGHOST=database PGUSER=postgres PGPASSWORD="$(cat /run/keys/POSTGRES_PASSWORD)"
psql -v ON_ERROR_STOP=1 -q --dbname postgres <<'SQL'
\set password `cat /run/keys/LITELLM_DATABASE_PASSWORD`
select 'create role litellm' where not exists (select from pg_roles where rolname = 'litellm') \gexec
alter role litellm login password :'password' nosuperuser nocreatedb nocreaterole noreplication nobypassrls inherit;
select 'create database litellm owner litellm' where not exists (select from pg_database where datname = 'litellm') \gexec
alter database litellm owner to litellm;
revoke all on database litellm from public;
revoke all on database postgres from public;
revoke all on database template1 from public;
\connect litellm
-- What its owner laid there (an operator that fits better than Postgres' own) is not the superuser's to run.
set search_path = pg_catalog;
do $$
declare name text;
begin
  for name in select oid::regclass from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') and relowner <> 'litellm'::regrole loop
    execute format('alter table %s owner to litellm', name);
  end loop;
  for name in select oid::regtype from pg_type
    where typnamespace = 'public'::regnamespace and typtype = 'e' and typowner <> 'litellm'::regrole loop
    execute format('alter type %s owner to litellm', name);
  end loop;
end $$;
SQL
