#!/usr/bin/env bash
# The first hour of somebody who has never seen rekeyd: a certificate is added and enrolled with the Director's answer, a
# pair that was made by hand is taken over with three mistakes on the way, nine things break, and each is repaired. What was
# wrong, and what repairs it, is read from what rekeyctl prints, and from nothing else: paths, lines, words and commands that
# the repairs use are those that were printed. Speaks TAP.
#
# Usage: test-new-user.sh REKEYD DEVCONNECTOR REKEYCTL

set -u
. "$(dirname "$0")/../support/tap.sh"

rekeyd=$(realpath "$1") devconnector=$(realpath "$2") rekeyctl=$(realpath "$3")

for command in curl jq openssl; do
        command -v "$command" >/dev/null || tap_skip "$command is not installed"
done

work=$(mktemp -d)
end() {
        kill "${rekeyd_pid:-}" "${connector_pid:-}" 2>/dev/null
        wait
        rm -rf "$work" "$tap_output"
}
trap end EXIT
cd "$work" || exit 1
export LC_ALL=C.UTF-8 TZ=UTC
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

# --- The reader ---

# ctl ARGUMENT...: what rekeyctl prints is in the file `said`, for the functions below, and its status is this one's.
ctl() {
        "$rekeyctl" --config "$work/rekeyd.yaml" "$@" >said 2>&1
}

# says PATTERN: rekeyctl has just said so.
says() {
        matches "$(tr -s '\n ' '  ' <said)" "$1"
}

# fails_saying PATTERN ARGUMENT...: so does rekeyctl ARGUMENT..., and it does not end with 0.
fails_saying() {
        local pattern=$1
        shift

        ctl "$@" && { cat said; return 1; }
        says "$pattern"
}

# does PATTERN ARGUMENT...: the same, with 0.
does() {
        local pattern=$1
        shift

        ctl "$@" || { cat said; return 1; }
        says "$pattern"
}

# The command that stands by itself below the sentence of `rekeyctl status`.
advice() {
        ctl status
        sed -n 's/^    rekeyctl //p' said | head -n 1
}

# follows_advice: runs it.
follows_advice() {
        local words

        read -ra words <<<"$(advice)"
        [ "${#words[@]}" -gt 0 ] || { echo "there is no advice:"; cat said; return 1; }
        ctl "${words[@]}" || { cat said; return 1; }
}

# is_repaired: by the advice, or by rekeyd, which retries by itself and may have been quicker.
is_repaired() {
        follows_advice >first || is_well || { cat first; return 1; }
}

# eventually COMMAND: rekeyd notices by itself, and tells nobody.
eventually() {
        local deadline=$((SECONDS + 30))

        until "$@" >last; do
                [ $SECONDS -lt $deadline ] || { cat last; return 1; }
                read -r -t 0.2 <> <(:) || true
        done
}

is_well() {
        ctl check || { cat said; return 1; }
        says '^REKEYD OK'
}

# --- The machine ---

start_connector() {
        coproc connector { exec "$devconnector" --directory connector --certificate-port "${1:-0}" \
                --token-port "${2:-0}" --admin-port "${3:-0}" 2>connector-log; }
        connector_pid=$!
        read -r -t 30 ready <&"${connector[0]}"
}

port_of() {
        jq -r ".$1" <<<"$ready" | sed -E 's,.*:([0-9]+).*,\1,'
}

# The Director's answer, as its API returns it.
director_says() {
        local url token

        url=$(jq -r .admin_url <<<"$ready")
        token=$(curl -s -f -X POST "$url/tokens?format=text" -d "{\"client\": \"$1\"}") || return 1
        jq -n --arg token "$token" --arg url "$(jq -r .token_url <<<"$ready")" '{token: $token, connectorURL: $url}'
}

# Waits for its line on standard error.
start_rekeyd() {
        rm -f says
        mkfifo says
        "$rekeyd" --config "$work/rekeyd.yaml" 2>says &
        rekeyd_pid=$!
        exec 4<says
        while read -r -t 30 line <&4; do
                case "$line" in *'ready: '* | *'no certificates'* | *'manages 0 '*) break ;; esac
        done
        cat <&4 >rekeyd-log &
        exec 4<&-
}

start_connector
certificate_port=$(port_of certificate_url) token_port=$(port_of token_url) admin_port=$(port_of admin_url)
cat >rekeyd.yaml <<YAML
state_directory: $work/state
log: {format: text, level: info}
limits: {issuances_per_hour: 100}
control: {socket: $work/control.sock}
connectors:
  dev: {trust: $work/connector/server-ca.crt}
defaults: {key: {bits: 2048}}
YAML

# --- The first certificate ---

check "without rekeyd, a change says how to start it" fails_saying 'systemctl start rekeyd' reload
start_rekeyd
milestone "a certificate is added without an editor" \
        does 'rekeyctl enrol orders' add orders --connector dev --directory "$work/orders"
enrol() {
        director_says "$1" | ctl enrol "$1" -
}
milestone "and enrolled with the Director's whole answer" enrol orders
check "whose URL is used, since none is configured, and named" \
        says "the one-time token goes to $(jq -r .token_url <<<"$ready"), which came with it"
check "all is well" is_well

# --- A pair that was made by hand ---

cp orders/tls.key my.key
cp orders/tls.crt my.crt
milestone "a second one is added" does 'added in' add billing --connector dev --directory "$work/billing"
check "key and certificate are swapped, and that is said" \
        fails_saying 'certificate; are the files of key and certificate swapped' \
        adopt billing --key my.crt --certificate my.key
check "the URL is not known, and the option for it is named" fails_saying 'use (--url)' \
        adopt billing --key my.key --certificate my.crt
option=${BASH_REMATCH[1]:-}
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.key 2>/dev/null
check "another key does not belong to it" fails_saying 'do not belong together' \
        adopt billing --key other.key --certificate my.crt
milestone "the pair is taken over, with the option that was named" \
        does 'Point the application at these files' adopt billing --key my.key --certificate my.crt \
        "$option" "$(jq -r .certificate_url <<<"$ready")"
check "rekeyctl has named files that are there" test -s "$(sed -n 's/^ *key: *//p' said)"
check "all is well" is_well

# --- What breaks later ---

# A person adds what `add` has no option for.
cat >>conf.d/billing.yaml <<YAML
    exports: [{path: $work/export/billing.pem, contents: [key, leaf]}]
    notify: [{command: [$work/reload]}]
YAML
printf '#!/bin/sh\nexit 0\n' >reload
chmod 755 reload
mkdir export
sed -i 's/notify:/notfy:/' conf.d/billing.yaml
check "1: a mistake in the configuration is said, with the command that finds it" \
        fails_saying 'rekeyctl (check-config [^ ]+)' reload
read -ra search <<<"${BASH_REMATCH[1]:-}"
check "it has its file and line, and the word that was meant" \
        fails_saying "(conf.d/billing.yaml):([0-9]+):.*did you mean '([a-z]+)'" "${search[@]}"
sed -i "${BASH_REMATCH[2]:-1}s/notfy/${BASH_REMATCH[3]:-}/" "${BASH_REMATCH[1]:-/dev/null}"
check "with that word it is loaded" does reloaded reload
check "and the export is written" does 'is current' export billing

printf '#!/bin/sh\nexit 1\n' >reload
check "2: a dependent that fails is said at once" fails_saying 'not notified.*: command (/[^ ]*) ended with status 1' \
        renew billing --force
printf '#!/bin/sh\nexit 0\n' >"${BASH_REMATCH[1]:-/dev/null}"
check "and notified by the advice" is_repaired
check "all is well" is_well

mv export removed # at once: rekeyd writes again what is deleted
touch export
check "3: an export that cannot be written names its cause" fails_saying 'export' export billing
ctl show billing
check "show has the path and the error" says '(/[^ ]*)/billing.pem pem .*(Not a directory)'
rm "${BASH_REMATCH[1]:-/dev/null}"
mkdir "${BASH_REMATCH[1]:-/dev/null}"
check "and is written by the advice" is_repaired
check "where it was" test -s export/billing.pem
check "all is well" is_well

kill "$connector_pid"
wait "$connector_pid" 2>/dev/null
check "4: a Connector that is not there is said" fails_saying 'then: rekeyctl (renew orders)' renew orders --force
read -ra again <<<"${BASH_REMATCH[1]:-}"
start_connector "$certificate_port" "$token_port" "$admin_port"
check "and the command that was named works once it is back" ctl "${again[@]}" --force

check "5: a certificate is revoked" ctl revoke orders --yes
check "which needs a token, and status names the command" matches "$(advice)" '^enrol (orders)$'
check "and the command works with another answer of the Director" enrol "${BASH_REMATCH[1]:-}"
check "all is well" is_well

# A certificate lies where a token should.
cat >conf.d/shipping.json <<YAML
certificates:
  shipping: {connector: dev, directory: $work/shipping, token_file: $work/shipping.token}
YAML
cp my.crt shipping.token
check "6: a drop-in with another ending is named" fails_saying '(/[^ ]*)/([^/ ]*)\.json is not read: .* end in (\.yaml) .*rename it' \
        check-config
mv "${BASH_REMATCH[1]:-}/${BASH_REMATCH[2]:-}.json" "${BASH_REMATCH[1]:-}/${BASH_REMATCH[2]:-}${BASH_REMATCH[3]:-}"
check "with that ending it is loaded" does 'reloaded: 1 added' reload

names_token_file() {
        ctl status
        says 'token file (/[^ ]*) is not used: it is PEM, such as a certificate; put another one-time token there'
}
check "7: what is no token is named, and where it lies" eventually names_token_file
director_says shipping >answer
mv answer "${BASH_REMATCH[1]:-/dev/null}"
check "a token there is used" eventually is_well

# Two files, put together by something that ends no line. libcurl remembers what it has read for a while, so that a
# renewal would not fail at once.
printf '%s' "$(cat connector/server-ca.crt connector/ca.crt)" | sed ':a; N; $!ba; s/-----\n-----BEGIN/----------BEGIN/' >glued
cat glued >connector/server-ca.crt
check "8: a file of trust that OpenSSL cannot read is named, with a command that repairs it" \
        does "the file of .trust., (/[^ ]*), has .* as with (sed '[^']*')" reload
file=${BASH_REMATCH[1]:-/dev/null}
sh -c "${BASH_REMATCH[2]:-false} '$file'" >repaired && cat repaired >"$file"
check "OpenSSL can read it after that" openssl verify -CAfile "$file" "$file"
check "and nothing is left to be said" not grep 'of .trust.' <(ctl check-config; cat said)
check "all is well" is_well

rm orders/..data/tls.key
check "9: a lost key is replaced without a command" eventually test -s orders/tls.key
check "and history says what was wrong" eventually does 'is damaged: cannot read the private key tls.key' history orders
check "all is well" eventually is_well

kill "$rekeyd_pid"
wait "$rekeyd_pid" 2>/dev/null
check "without rekeyd nothing is marked as good" does 'last saved its state at [^ ]+Z, .* systemctl start rekeyd' status
check "no tick" not grep -q '✓' said
check "check warns" fails_saying '^REKEYD WARNING - rekeyd is not running; 3 certificates valid' check
start_rekeyd
check "all is well" is_well

check "a certificate that is not needed any more is removed, and its key is not" \
        does "stay in $work/orders" remove orders
check "the key is there" test -s orders/tls.key
tap_end
