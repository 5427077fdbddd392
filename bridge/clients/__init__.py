"""The configuration files of programs that use MCPs: read once here, for `serve --config` and for `add --from`.

`document` knows JSON with comments, YAML and TOML; `places` knows where each client has its servers, `formats` what it calls
their fields; `variables` knows what clients fill in. What becomes of an entry is its reader's business.
"""
