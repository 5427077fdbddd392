{{base}}

# The server, from PyPI: exactly what requirements.lock says.
FROM {{python_image}} AS server
COPY images/{{name}}/requirements.lock /opt/server/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/server \
 && pip --python /opt/server/bin/python install --quiet --disable-pip-version-check --no-deps --require-hashes -r /opt/server/requirements.lock

# The image.
FROM base
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/bin:$PATH
{{files}}
{{folders}}
{{end}}
