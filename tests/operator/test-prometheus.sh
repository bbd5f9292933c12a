#!/usr/bin/env bash
# A real Prometheus scrapes a running rekeyd, with the alerts that come with it, while a certificate is enrolled, renewed
# and revoked, and answers each expression of the dashboard. Speaks TAP.
#
# Usage: test-prometheus.sh REKEYD DEVCONNECTOR REKEYCTL CONF_DIRECTORY

set -u
. "$(dirname "$0")/../support/tap.sh"

rekeyd=$(realpath "$1") devconnector=$(realpath "$2") rekeyctl=$(realpath "$3") conf=$(realpath "$4")

if ! command -v prometheus >/dev/null; then
        echo "1..0 # SKIP Debian's package prometheus is not installed"
        exit 0
fi

work=$(mktemp -d)
processes=()
end() {
        kill "${processes[@]}" 2>/dev/null
        wait
        rm -rf "$work" "$tap_output"
}
trap end EXIT
cd "$work" || exit 1

free_port() {
        python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

metrics_port=$(free_port) prometheus_port=$(free_port)

# becomes QUERY PATTERN: Prometheus tells nobody when it has scraped, so this asks, for half a minute.
becomes() {
        local deadline=$((SECONDS + 30)) answer=
        while [ $SECONDS -lt $deadline ]; do
                answer=$(curl -s -G "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$1" |
                        jq -c '[.data.result[]? | [.metric.certificate // .metric.alertname // .metric.job // "", .value[1]]]')
                [[ $answer =~ $2 ]] && return 0
                read -r -t 0.3 <> <(:) || true
        done
        echo "$1 is '$answer', wanted to match '$2'"
        return 1
}

# --- The dashboard ---

# As Grafana asks: with "All" for each variable.
dashboard_expressions() {
        jq -r '.. | objects | select(has("expr")) | .expr' "$conf/rekeyd-dashboard.json" | sort -u |
                sed 's/\$__rate_interval/20s/g; s/\$[a-z_]*/.*/g'
}

# Asks all that has not been answered by a series yet; what is refused is left out for good, in `refused`.
ask_dashboard() {
        local expression answer

        while IFS= read -r expression; do
                answer=$(curl -s -G "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$expression" |
                        jq -r 'if .status != "success" then "refused" elif .data.result == [] then "empty" else "series" end')
                case "$answer" in
                series) ;;
                empty) printf '%s\n' "$expression" ;;
                *) printf '%s\n' "$expression" >>refused ;;
                esac
        done <unanswered >still-unanswered
        mv still-unanswered unanswered
}

# Some have series only while something fails, others only while it works: this is called after each change.
dashboard_is_asked() {
        ask_dashboard
        ! cat refused 2>/dev/null | grep .
}

# The rest, for half a minute.
dashboard_is_answered() {
        local deadline=$((SECONDS + 30))

        while [ -s unanswered ] && [ $SECONDS -lt $deadline ]; do
                ask_dashboard
                read -r -t 0.3 <> <(:) || true
        done
        ! sed 's/^/no series: /' unanswered | grep .
}

# A variable of the dashboard has a value.
variables_have_values() {
        local definition name missing=0

        while read -r definition; do
                name=${definition#label_values(} name=${name%%,*}
                curl -s -G "http://127.0.0.1:$prometheus_port/api/v1/label/${definition##*, }/values" \
                        --data-urlencode "match[]=$name" | jq -e '.data | length > 0' >/dev/null ||
                        { echo "no value: $definition"; missing=1; }
        done < <(jq -r '.templating.list[].definition // empty | rtrimstr(")")' "$conf/rekeyd-dashboard.json")
        return $missing
}

# --- The three of them ---

mkfifo connector-says
"$devconnector" --directory connector >connector-says 2>connector-log &
connector_pid=$!
processes+=($connector_pid)
exec 3<connector-says
read -r -t 30 ready <&3 || { echo "Bail out! devconnector does not start"; exit 1; }
cat <&3 >/dev/null &
processes+=($!)

cat >rekeyd.yaml <<YAML
state_directory: $work/state
limits: {issuances_per_hour: 100}
control: {socket: $work/control.sock}
http: {listen: 127.0.0.1:$metrics_port}
connectors:
  dev: {enrol_url: '$(jq -r .token_url <<<"$ready")', trust: $work/connector/server-ca.crt}
defaults: {key: {bits: 2048}}
certificates:
  orders:
    connector: dev
    directory: $work/orders
    notify: [{command: [/bin/true]}]
    exports: [{path: $work/orders.pem, contents: [leaf]}]
  billing: {connector: dev, directory: $work/billing, token_file: $work/billing.token}
YAML
"$rekeyd" --config rekeyd.yaml 2>rekeyd-log &
processes+=($!)

cat >prometheus.yml <<YAML
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$conf/rekeyd-alerts.yaml]
scrape_configs:
  - job_name: rekeyd
    static_configs: [{targets: ['127.0.0.1:$metrics_port']}]
YAML
prometheus --config.file prometheus.yml --storage.tsdb.path data --web.listen-address "127.0.0.1:$prometheus_port" \
        --log.level error 2>prometheus-log &
processes+=($!)

ctl() {
        "$rekeyctl" --socket "$work/control.sock" "$@"
}
token() {
        curl -s -f -X POST "$(jq -r .admin_url <<<"$ready")/tokens?format=text" -d '{"client": "orders"}'
}

dashboard_expressions >unanswered

# --- What it sees ---

check "Prometheus scrapes rekeyd" becomes 'up{job="rekeyd"}' '"1"'
check "it is ready" becomes rekeyd_ready '"1"'
check "and has a certificate that cannot be used" becomes rekeyd_certificate_usable '\["orders","0"\]'
check "which is an alert, soon" becomes 'ALERTS{certificate="orders"}' 'orders'
check "the dashboard asks nothing wrong" dashboard_is_asked
token | ctl enrol orders --token-file - >enrol-log 2>&1
check "enrolled, it can be used" becomes rekeyd_certificate_usable '\["orders","1"\]'
check "and expires in 90 days" becomes 'floor((rekeyd_certificate_expiry_timestamp_seconds - time()) / 86400)' '"(89|90)"'
check "no alert is left" becomes 'ALERTS{certificate="orders"} or vector(0)' '^\[\["","0"\]\]$'
ctl renew orders --force --wait >renew-log 2>&1
check "a renewal is counted" becomes rekeyd_renewals_total '"1"'
check "with its steps" becomes 'rekeyd_step_duration_seconds_count{step="sign"}' '"2"'
check "and what is left of the budget" becomes rekeyd_certificate_issuance_budget_left '"98"'
check "its variables have values" variables_have_values
check "its renewal is planned" becomes rekeyd_certificate_renewal_timestamp_seconds '\["orders",'
check "as the dashboard says" dashboard_is_asked
ctl probe orders >probe-log 2>&1
ctl renew orders --force >>renew-log 2>&1
check "and the dashboard goes on" dashboard_is_asked
ctl revoke orders --yes >revoke-log 2>&1
check "a revocation is seen" becomes rekeyd_certificate_revoked '\["orders","1"\]'
check "the page passes promtool" sh -c "curl -s http://127.0.0.1:$metrics_port/metrics | promtool check metrics"
check "rekeyd is alive" curl -s -f "http://127.0.0.1:$metrics_port/healthz"
check "and not ready" sh -c "curl -s http://127.0.0.1:$metrics_port/readyz | grep -q '^orders: '"
check "nothing else is served there" sh -c \
        "[ \"\$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:$metrics_port/v1/certificates)\" = 404 ]"


# The next attempt is planned only while one fails.
token >billing.token.new
kill "$connector_pid"
wait "$connector_pid"
mv billing.token.new billing.token
check "every expression of the dashboard was answered" dashboard_is_answered

[ $tap_failed -eq 0 ] || sed 's/^/# /' enrol-log renew-log revoke-log rekeyd-log prometheus-log
tap_end
