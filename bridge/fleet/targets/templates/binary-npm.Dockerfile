{{base}}

# The server: an executable out of an npm package, exactly what package-lock.json says.
FROM {{node_image}} AS server
ARG TARGETARCH
WORKDIR /opt/package
COPY images/{{name}}/package.json images/{{name}}/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --ignore-scripts --no-audit --no-fund
RUN install -D "node_modules/{{package}}/{{path}}" /opt/server/bin/{{program}}

# The image.
FROM base
{{apt}}
COPY --from=server /opt/server /opt/server
ENV PATH=/opt/server/bin:$PATH
{{browser}}
{{files}}
{{folders}}
{{end}}
