#!/usr/bin/env bash
# The tutorial in devconnector/README.md, command for command: takes the indented lines of that section, runs them in one
# shell in an empty directory, and looks at what the last two calls say. Speaks TAP.
#
# Usage: test-tutorial.sh README DEVCONNECTOR

set -u
readme=$(realpath "$1")
PATH=$(dirname "$(realpath "$2")"):$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

echo 1..1
if ! command -v jq >/dev/null; then
        echo "ok 1 - tutorial # SKIP jq is not installed"
        exit 0
fi

# The sleep is the tutorial's own way to wait for the first line; a person would look.
sed -n '/^## The tutorial/,/^## The admin/ s/^    //p' "$readme" >commands
[ "$(wc -l <commands)" -gt 20 ] || { echo "not ok 1 - tutorial: no commands found in $readme"; exit 1; }
timeout 300 bash -eu commands >output 2>errors
status=$?

failure=
grep -q 'app.crt: OK$' output || failure="the certificate does not verify"
grep -q '"data":{"result":{"certificateSigningRequestInfo"' output || failure="the new certificate was not accepted"
grep -q '{"data":{"result":true}} 200' output || failure="the revocation failed"
tail -n 1 output | grep -qx ' 400' || failure="the revoked certificate was not turned away"
[ $status -eq 0 ] || failure="the commands ended with status $status"

if [ -z "$failure" ]; then
        echo "ok 1 - tutorial"
else
        echo "not ok 1 - tutorial: $failure"
        sed 's/^/# /' output errors
        exit 1
fi
