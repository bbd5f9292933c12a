#!/usr/bin/env bash
# The explorer must find each rule of lib/life/renewal.c that is taken away.
#
#   test-explorer-mutants.sh SOURCES COMPILER LIBRARY...

set -u
sources=$1 compiler=$2
shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# NAME: what is replaced in the source, as an expression for sed. It must change something.
mutants=(
        'a set that cannot be read counts as none: s/renewal->set != SET_UNREADABLE \&\& //'
        'a staged certificate is tried without end: s/observation->reply_failures >= RENEWAL_REPLY_TRIES/false/'
        'a token from a hand waits for what is staged: s/observation->enrol_asked ||/false ||/'
        'a staged certificate has no age: s/ || observation->reply_expiry <= context->now//'
        'what failed goes before what is newer: s/observation->reply_failures > 0 &&/false \&\&/'
        'nothing but a failed certificate is left, and no token is waited for: s/ || renewal->is_last_resort;/;/'
        'a failed certificate leaves no turn to the one in use: s/ && !(renewal->is_last_resort && renewal->failures % 2 == 1)//'
)

echo "1..${#mutants[@]}"
number=0
for mutant in "${mutants[@]}"; do
        name=${mutant%%: s/*} change=s/${mutant#*: s/} result="not ok"
        number=$((number + 1))
        tr '\n' '\f' <"$sources/lib/life/renewal.c" | sed -E 's/\f +/ /g' | sed "$change" | tr '\f' '\n' >"$work/renewal.c"
        tr '\n' '\f' <"$sources/lib/life/renewal.c" | sed -E 's/\f +/ /g' | tr '\f' '\n' >"$work/whole.c"
        if cmp -s "$work/renewal.c" "$work/whole.c"; then
                echo "# the source has no such place: $change"
        elif ! $compiler -O1 -w -std=gnu17 -D_GNU_SOURCE -I"$sources" -o "$work/explorer" "$work/renewal.c" \
                "$sources/tests/simulation/test-explorer.c" "$@" 2>"$work/log"; then
                sed 's/^/# /' "$work/log"
        elif CK_FORK=no "$work/explorer" >"$work/log" 2>&1; then
                echo "# the explorer found nothing"
        elif grep -q '^# explorer: .* [1-9][0-9]* dead ends' "$work/log"; then
                result=ok
                grep -m 1 '^# ' "$work/log"
        else
                sed 's/^/# /' "$work/log"
        fi
        echo "$result $number - $name"
done
