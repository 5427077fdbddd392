{{base}}

# Python and what the bridge needs in a form that runs in any Linux image: with all libraries and a loader of its own.
FROM base AS portable
COPY bridge/fleet/bundle.py /
RUN python /bundle.py /opt/bridge /opt/portable && mkdir /opt/empty

# The existing image, with the bridge beside what is in it.
FROM {{image}}
COPY --from=portable /opt/portable /opt/bridge
ENV HOME=/tmp \
    FASTMCP_CHECK_FOR_UPDATES=off NO_UPDATE_NOTIFIER=1 DO_NOT_TRACK=1 \
    MCP_BRIDGE_HOST=0.0.0.0 MCP_BRIDGE_ALLOWED_HOST=* MCP_BRIDGE_PROFILE=litellm MCP_BRIDGE_ENV=*
{{files}}
{{folders}}
{{end}}
