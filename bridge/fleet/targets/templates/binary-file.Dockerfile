{{base}}

# The server: an executable that lies beside the stanza.
FROM {{python_image}} AS server
ARG TARGETARCH
COPY images/{{name}} /opt/package
RUN install -D "/opt/package/{{file}}" /opt/server/bin/{{program}}

# The image.
FROM base
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/bin:$PATH
{{browser}}
{{files}}
{{folders}}
{{end}}
