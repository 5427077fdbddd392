# The egress proxy: squid, and unbound to find addresses, on the base that the images of the MCPs have anyway.
FROM {{python_image}}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends squid unbound \
 && rm -rf /var/lib/apt/lists/*
COPY bridge/egress /opt/egress/bridge/egress
COPY compose/egress {{folder}}
COPY compose/egress/errors /usr/share/squid/errors/templates
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s CMD {{health}}
WORKDIR /opt/egress
ENTRYPOINT ["python", "-m", "bridge.egress", "{{folder}}"]
