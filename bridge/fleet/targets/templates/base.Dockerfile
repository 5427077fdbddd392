# What all images share: Python, the user of the container, and what the bridge needs (in a Python environment of its own).
FROM {{python_image}} AS base
RUN groupadd --gid 10001 mcp && useradd --uid 10001 --gid mcp --no-create-home --home-dir /tmp mcp
COPY images/bridge.lock /opt/bridge/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/bridge \
 && pip --python /opt/bridge/bin/python install --quiet --disable-pip-version-check --no-deps --require-hashes -r /opt/bridge/bridge.lock
ENV HOME=/tmp LANG=C.UTF-8 \
    FASTMCP_CHECK_FOR_UPDATES=off NO_UPDATE_NOTIFIER=1 DO_NOT_TRACK=1 \
    MCP_BRIDGE_HOST=0.0.0.0 MCP_BRIDGE_ALLOWED_HOST=* MCP_BRIDGE_PROFILE=litellm MCP_BRIDGE_ENV=*
WORKDIR /tmp

# The bridge itself. It changes more often than what is around it, so it comes into the image last.
FROM base AS bridge
COPY bridge {{bridge}}/bridge
RUN python -m compileall -q --invalidation-mode unchecked-hash {{bridge}}/bridge
