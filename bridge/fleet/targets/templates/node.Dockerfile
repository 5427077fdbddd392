{{base}}

# The server, from npm: exactly what package-lock.json says, without its packages' install scripts.
FROM {{node_image}} AS server
WORKDIR /opt/server
COPY images/{{name}}/package.json images/{{name}}/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --ignore-scripts --no-audit --no-fund
{{compile}}

# The image.
FROM base
COPY --from={{node_image}} /usr/local/bin/node /usr/local/bin/node
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/node_modules/.bin:$PATH
{{browser}}
{{files}}
{{folders}}
{{end}}
