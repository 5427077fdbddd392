# What installs Python packages: uv, in a third of pip's time or less. It comes into no image.
FROM {{python_image}} AS installer
COPY images/installer.lock /opt/
RUN pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --require-hashes \
      --target /opt/uv -r /opt/installer.lock

# What all images share: Python, the user of the container, and what the bridge needs (in a Python environment of its own).
FROM {{python_image}} AS base
RUN groupadd --gid 10001 mcp && useradd --uid 10001 --gid mcp --no-create-home --home-dir /tmp mcp
COPY images/bridge.lock /opt/bridge/
{{install_bridge}}
ENV HOME=/tmp LANG=C.UTF-8 \
    FASTMCP_CHECK_FOR_UPDATES=off NO_UPDATE_NOTIFIER=1 DO_NOT_TRACK=1 \
    MCP_BRIDGE_HOST=0.0.0.0 MCP_BRIDGE_ALLOWED_HOST=* MCP_BRIDGE_PROFILE=litellm MCP_BRIDGE_ENV=*
WORKDIR /tmp

# The bridge itself. It changes more often than what is around it, so it comes into the image last.
FROM base AS bridge
COPY bridge {{bridge}}/bridge
RUN python -m compileall -q --invalidation-mode unchecked-hash {{bridge}}/bridge
