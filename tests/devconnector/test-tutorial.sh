#!/usr/bin/env bash
# The two tutorials in devconnector/README.md, command for command: takes the indented lines of a section, runs them in one
# shell in an empty directory, and looks at what the last calls say. Speaks TAP.
#
# Usage: test-tutorial.sh README DEVCONNECTOR

set -u
readme=$(realpath "$1")
PATH=$(dirname "$(realpath "$2")"):$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_failed=0

check_graphql() {
        grep -q 'app.crt: OK$' output || failure="the certificate does not verify"
        grep -q '"data":{"result":{"certificateSigningRequestInfo"' output || failure="the new certificate was not accepted"
        grep -q '{"data":{"result":true}} 200' output || failure="the revocation failed"
        tail -n 1 output | grep -qx ' 400' || failure="the revoked certificate was not turned away"
}

check_rest() {
        grep -q 'app.crt: OK$' output || failure="the certificate does not verify"
        grep -q '^subject=.*O = my-tenant, OU = my-group, CN = my-app$' output || failure="the certificate was not renewed"
        [ "$(grep -A 1 '"clientIdentity"' output | grep -cx ' 200')" = 2 ] || failure="management/info was not answered twice"
        grep -qx ' 201' output || failure="the revocation failed"
        tail -n 2 output | tr -d '\n' | grep -q 'Certificate has been revoked."} 403$' ||
                failure="the revoked certificate was not turned away"
}

# tutorial N SECTION: the sleep in it is its own way to wait for the first line; a person would look.
tutorial() {
        failure=
        mkdir "$work/$1" && cd "$work/$1" || exit 1
        sed -n "/^## $2,/,/^## / s/^    //p" "$readme" >commands
        [ "$(wc -l <commands)" -gt 20 ] || { echo "not ok $1 - $2: no commands found in $readme"; exit 1; }
        timeout 300 bash -eu commands >output 2>errors
        status=$?
        "check_${2,,}"
        [ $status -eq 0 ] || failure="the commands ended with status $status"

        if [ -z "$failure" ]; then
                echo "ok $1 - $2"
        else
                echo "not ok $1 - $2: $failure"
                sed 's/^/# /' output errors
                n_failed=$((n_failed + 1))
        fi
}

echo 1..2
if ! command -v jq >/dev/null; then
        echo "ok 1 - GraphQL # SKIP jq is not installed"
        echo "ok 2 - REST # SKIP jq is not installed"
        exit 0
fi
tutorial 1 GraphQL
tutorial 2 REST
exit "$n_failed"
