# The door: nginx with one static configuration, on the base that the images of the MCPs have anyway.
FROM {{python_image}}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends nginx \
 && rm -rf /var/lib/apt/lists/*
COPY compose/door/door.conf compose/door/fleet.json /etc/nginx/
COPY bridge/page/*.html bridge/page/*.css bridge/page/*.js /srv/page/
# The registry: a file for each address that is asked for.
COPY compose/door/registry.json /srv/registry/servers.json
RUN cd /srv/registry && python -c "import json, pathlib; \
  answers = {one['server']['title'] + '/' + name: said for one in json.load(open('servers.json'))['servers'] for name, said in \
    {'versions': {'servers': [one], 'metadata': {'count': 1}}, 'latest': one, one['server']['version']: one}.items()}; \
  [pathlib.Path(name).parent.mkdir(exist_ok=True) or pathlib.Path(name + '.json').write_text(json.dumps(said)) for name, said in answers.items()]"
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD {{health}}
# Connections get a few seconds to end.
STOPSIGNAL SIGQUIT
ENTRYPOINT ["nginx", "-e", "stderr", "-c", "/etc/nginx/door.conf", "-g", "daemon off;"]
