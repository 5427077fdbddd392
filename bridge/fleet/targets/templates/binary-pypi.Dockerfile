{{base}}

# The server: an executable out of a wheel from PyPI, exactly what requirements.lock says.
FROM {{python_image}} AS server
ARG TARGETARCH
COPY images/{{name}}/requirements.lock /opt/package/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --require-hashes \
      --target /opt/package -r /opt/package/requirements.lock
RUN install -D "/opt/package/{{path}}" /opt/server/bin/{{program}}

# The image.
FROM base
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/bin:$PATH
{{browser}}
{{files}}
{{folders}}
{{end}}
