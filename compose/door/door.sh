#!/bin/sh
# Made by `mcp-bridge render`; do not edit: write images/NAME/stanza.yaml and render again.
# The door does not open to the network while its locks are the ones that everybody knows.
case "$LAN_BIND" in
  127.* | ::1 | '[::1]' | localhost) ;;
  *)
    if [ -z "$HAS_OWN_KEY" ] || [ "$(cat /run/secrets/bridge_token)" = known-to-everybody ]; then
      echo "door: LAN_BIND=$LAN_BIND opens the fleet to the network, but LITELLM_MASTER_KEY or the token of the MCPs is still" \
           "the public default: run 'mcp-bridge up', which makes random ones, or set LITELLM_MASTER_KEY, BRIDGE_TOKEN and" \
           "BRIDGE_TOKEN_FILE in compose/.env" >&2
      exit 1
    fi ;;
esac
exec nginx -e stderr -c /etc/nginx/door.conf -g 'daemon off;'
