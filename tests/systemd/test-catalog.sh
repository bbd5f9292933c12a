#!/usr/bin/env bash
# What the operator reads against what the daemon says: the message catalog and the manual know every message and
# every field of daemon/messages.h, and nothing besides.
#
#   test-catalog.sh SOURCES

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"

sources=$1
catalog=$sources/systemd/rekeyd.catalog
manual=$sources/man/rekeyd.8.scd
work=$(mktemp -d) || exit 1
trap 'rm -rf "$tap_output" "$work"' EXIT

ids() {
        grep -o '[0-9a-f]\{32\}' "$1" | sort -u
}

fields() {
        grep -o 'REKEYD_[A-Z_]*' "$1" | sort -u
}

ids "$sources/daemon/messages.h" >"$work/said"
fields "$sources/daemon/messages.h" >"$work/fields"
sed -n 's/^-- //p' "$catalog" | sort >"$work/explained"

check "messages.h has messages" test "$(wc -l <"$work/said")" -ge 20
check "no id is there twice" nothing eval 'grep -o "\"[0-9a-f]\{32\}\"" "$sources/daemon/messages.h" | sort | uniq -d'
check "no message lacks its entry in the catalog" nothing comm -23 "$work/said" "$work/explained"
check "no entry is invented" nothing comm -13 "$work/said" "$work/explained"
check "no entry is there twice" nothing uniq -d "$work/explained"

# An entry is a heading and at least two paragraphs: what happened, and what comes next or is to be done.
incomplete() {
        awk -v RS='\n-- ' 'NR > 1 {
                n = split($0, parts, /\n\n/)
                if (parts[1] !~ /\nSubject: [^\n]+\nDefined-By: rekeyd\nDocumentation: man:rekeyd\(8\)$/ || n < 3)
                        print substr($0, 1, 32)
        }' "$catalog"
}
check "each entry has a subject, what happened, and what comes next" nothing incomplete
check "the catalog names no field that does not exist" \
        nothing eval 'grep -o "@[A-Z_]*@" "$catalog" | tr -d @ | sort -u | comm -23 - "$work/fields"'

mkdir -p "$work/root/usr/lib/systemd/catalog" && cp "$catalog" "$work/root/usr/lib/systemd/catalog/"
if hash journalctl 2>/dev/null; then
        check "journalctl takes it" nothing journalctl --root="$work/root" --update-catalog
        check "with all of its entries" \
                same "$(journalctl --root="$work/root" --list-catalog 2>/dev/null | wc -l)" "$(wc -l <"$work/said")"
fi

check "the manual lists every message, and no other" \
        nothing eval 'sed -n "/^# MESSAGE IDS/,/^# EXAMPLES/p" "$manual" >"$work/listed"; ids "$work/listed" | comm -3 - "$work/said"'
check "its examples use messages that exist" nothing eval 'ids "$manual" | comm -23 - "$work/said"'
check "the manual lists every field, and no other" \
        nothing eval 'sed -n "/^# JOURNAL FIELDS/,/^# MESSAGE IDS/p" "$manual" >"$work/listed"; fields "$work/listed" | comm -3 - "$work/fields"'

# scdoc leaves empty paragraphs and long lines, which hurt nobody; all else that mandoc finds counts.
faults() {
        scdoc <"$1" >"$work/page" && mandoc -T lint "$work/page" |
                grep -v -e 'STYLE: ' -e 'WARNING: skipping paragraph macro'
}
if hash scdoc mandoc 2>/dev/null; then
        for page in "$sources"/man/*.scd; do
                check "mandoc takes ${page##*/}" nothing faults "$page"
        done
fi
tap_end
