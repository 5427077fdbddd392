# The door: nginx with one static configuration, on the base that the images of the MCPs have anyway.
FROM {{python_image}}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends nginx \
 && rm -rf /var/lib/apt/lists/*
COPY compose/door/door.conf /etc/nginx/door.conf
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD {{health}}
# Connections get a few seconds to end.
STOPSIGNAL SIGQUIT
ENTRYPOINT ["nginx", "-e", "stderr", "-c", "/etc/nginx/door.conf", "-g", "daemon off;"]
