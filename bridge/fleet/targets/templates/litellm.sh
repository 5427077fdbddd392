#!/bin/sh
# LiteLLM, as the entry point of its image starts it: that prepares the database before. In the folder that comes first in PATH.
PATH="${PATH#*:}"
python="$(sed -n '1s/^#! *//p' "$(command -v litellm)")"
case "$python" in */python*) ;; *) python=python3 ;; esac
exec "$python" /litellm_server.py --keys /run/keys "$@"
