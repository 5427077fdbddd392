{{base}}

# The server: an executable that is fetched, and refused unless it has the checksum that stands in the stanza.
FROM {{python_image}} AS server
ARG TARGETARCH
COPY bridge/fleet/fetch.py /
RUN python /fetch.py {{fetch}}

# The image.
FROM base
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/bin:$PATH
{{browser}}
{{files}}
{{folders}}
{{end}}
