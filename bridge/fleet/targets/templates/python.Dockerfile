{{base}}

# The server, from PyPI: exactly what requirements.lock says.
FROM {{python_image}} AS server
COPY images/{{name}}/requirements.lock /opt/server/
{{install_server}}

# The image.
FROM base
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/bin:$PATH
{{browser}}
{{files}}
{{folders}}
{{end}}
