#!/bin/sh
# Alertmanager, with where alarms go taken from ALERTS_TO in compose/.env:
#   https://example.org/hook                                       a webhook, which gets Alertmanager's JSON
#   ntfy://ntfy.sh/TOPIC                                           ntfy, as a message for people (ntfys: and ntfy: are https; ntfy+http: is not)
#   mailto:you@example.org?smtp=mail.example.org:587&user=U&password=P&from=F     (in a password %26 is &, and %25 is %)
set -eu
umask 077
to=${ALERTS_TO:-}
unset ALERTS_TO
state=${ALERTS_STATE:-/tmp}

from_query() { printf '%s' "${to#*\?}" | tr '&' '\n' | sed -n "s/^$1=//p" | head -n 1; }
plain() { printf '%s' "$1" | sed 's/%20/ /g; s/%23/#/g; s/%26/\&/g; s/%2[Bb]/+/g; s/%2[Ff]/\//g; s/%3[Aa]/:/g; s/%3[Ff]/?/g; s/%40/@/g; s/%25/%/g'; }
quoted() { printf "'%s'" "$(printf '%s' "$1" | tr -d '\n' | sed "s/'/''/g")"; }

ntfy() {  # its own template makes a message of Alertmanager's JSON
  case $1 in *\?*) webhook "$1&template=alertmanager" ;; *) webhook "$1?template=alertmanager" ;; esac
}

webhook() {
  printf '  webhook_configs:\n  - send_resolved: true\n    url: %s\n' "$(quoted "$1")"
}

mail() {
  address=${to#mailto:}
  user=$(plain "$(from_query user)")
  plain "$(from_query password)" > "$state/password"
  printf '  email_configs:\n  - send_resolved: true\n    to: %s\n    from: %s\n    smarthost: %s\n' \
    "$(quoted "$(plain "${address%%\?*}")")" "$(quoted "$(plain "$(from_query from)")")" "$(quoted "$(from_query smtp)")"
  [ -z "$user" ] || printf '    auth_username: %s\n    auth_password_file: %s\n' "$(quoted "$user")" "$(quoted "$state/password")"
}

receiver() {
  case $to in
    ntfy+http://*) ntfy "http://${to#*://}" ;;
    ntfy://*|ntfys://*) ntfy "https://${to#*://}" ;;
    http://*|https://*) webhook "$to" ;;
    mailto:*\?*smtp=*from=*|mailto:*\?*from=*smtp=*) mail ;;
    *) return 1 ;;
  esac
}

if ! receiver > "$state/receiver.yml"; then
  echo "ALERTS_TO in compose/.env says where alarms go: https://…, ntfy://ntfy.sh/TOPIC, or mailto:you@example.org?smtp=HOST:PORT&from=ADDRESS" >&2
  exit 1
fi
cat > "$state/alertmanager.yml" <<YAML
route:
  receiver: operator
  group_by: [alertname, mcp]
  group_wait: ${ALERTS_WAIT:-10s}
  group_interval: ${ALERTS_INTERVAL:-1m}
  repeat_interval: 4h
receivers:
- name: operator
$(cat "$state/receiver.yml")
YAML
exec "${ALERTMANAGER:-/bin/alertmanager}" --config.file="$state/alertmanager.yml" "$@"
