#!/usr/bin/env bash
# What the operator reads against what the daemon says: the message catalog and the manuals know every message and
# every field of daemon/observe/messages.h, and nothing besides; and the manuals themselves are in order.
#
#   test-catalog.sh SOURCES

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/tap.sh"

sources=$1
catalog=$sources/systemd/rekeyd.catalog
manual=$sources/man/rekeyd.8.scd
explanations=$sources/man/rekeyd-messages.7.scd
work=$(mktemp -d) || exit 1
trap 'rm -rf "$tap_output" "$work"' EXIT

ids() {
        grep -o '[0-9a-f]\{32\}' "$1" | sort -u
}

fields() {
        grep -o 'REKEYD_[A-Z_]*' "$1" | sort -u
}

ids "$sources/daemon/observe/messages.h" >"$work/said"
fields "$sources/daemon/observe/messages.h" >"$work/fields"
sed -n 's/^-- //p' "$catalog" | sort >"$work/explained"

check "messages.h has messages" test "$(wc -l <"$work/said")" -ge 20
check "no id is there twice" nothing eval 'grep -o "\"[0-9a-f]\{32\}\"" "$sources/daemon/observe/messages.h" | sort | uniq -d'
check "no message lacks its entry in the catalog" nothing comm -23 "$work/said" "$work/explained"
check "no entry is invented" nothing comm -13 "$work/said" "$work/explained"
check "no entry is there twice" nothing uniq -d "$work/explained"

# An entry is a heading and at least two paragraphs: what happened, and what comes next or is to be done.
incomplete() {
        awk -v RS='\n-- ' 'NR > 1 {
                n = split($0, parts, /\n\n/)
                if (parts[1] !~ /\nSubject: [^\n]+\nDefined-By: rekeyd\nDocumentation: man:rekeyd-messages\(7\)$/ || n < 3)
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

# rekeyd-messages(7): "## SUBJECT", and below it "*journalctl MESSAGE_ID=...*". The subjects are the catalog's.
subjects() {
        sed -n -e 's/^-- /id /p' -e 's/^Subject: /subject /p' "$catalog" |
                sed -e 's/@REKEYD_CERTIFICATE@/NAME/' | paste -d ' ' - - | sed -e 's/^id //' -e 's/ subject / /' | sort
}
headings() {
        sed -n '/^# WHEN SOMETHING IS WRONG/,/^# EXAMPLES/p' "$explanations" | awk '
                /^## / { subject = substr($0, 4) }
                match($0, /MESSAGE_ID=[0-9a-f]+/) { print substr($0, RSTART + 11, RLENGTH - 11), subject }' | sort
}
subjects >"$work/subjects"
headings >"$work/headings"
check "rekeyd-messages(7) explains every message, and no other, by its subject in the catalog" \
        nothing diff "$work/subjects" "$work/headings"
check "its examples use messages that exist" nothing eval 'ids "$explanations" | comm -23 - "$work/said"'
check "it names no field that does not exist" nothing eval 'fields "$explanations" | comm -23 - "$work/fields"'

# "error; event *failed*": as the events are called in daemon/observe/events.c.
events() {
        {
                tr -d '\n\\' <"$sources/daemon/observe/messages.h" | grep -o '#define MESSAGE_[A-Z_]* *"[0-9a-f]*"' |
                        sed 's/#define \(MESSAGE_[A-Z_]*\) *"\(.*\)"/id \1 \2/'
                grep -o '{ MESSAGE_[A-Z_]*, "[a-z-]*"' "$sources/daemon/observe/events.c" |
                        sed 's/{ \(MESSAGE_[A-Z_]*\), "\(.*\)"/event \1 \2/'
        } | awk '$1 == "id" { ids[$2] = $3 } $1 == "event" { print ids[$2], $3 }' | sort
}
named_events() {
        awk '/^[a-z].*; event \*/ { event = $NF; gsub(/\*/, "", event) }
             match($0, /MESSAGE_ID=[0-9a-f]+/) && event != "" {
                     print substr($0, RSTART + 11, RLENGTH - 11), event; event = "" }' "$explanations" | sort
}
events >"$work/events"
named_events >"$work/named"
check "it calls the events by their names" nothing diff "$work/events" "$work/named"

# rekeyd-api(7) has a table of them; three are of the stream itself.
listed_events() {
        sed -n '/^# EVENTS/,/^# SEE ALSO/p' "$sources/man/rekeyd-api.7.scd" | sed -n '/^|/,/^:/p' | grep -v '^:' |
                grep -o '\*[a-z-]*\*' | tr -d '*' | sort
}
{ cut -d ' ' -f 2 "$work/events" | sort -u; printf '%s\n' delivered hello lost not-delivered step; } | sort >"$work/streamed"
listed_events >"$work/listed"
check "rekeyd-api(7) lists every event, and no other" nothing diff "$work/streamed" "$work/listed"

# Four parts, in their order, for each.
parts() {
        sed -n '/^# WHEN SOMETHING IS WRONG/,/^# EXAMPLES/p' "$explanations" | awk '
                function judge() { if (heading && parts != "*Meaning* *rekeyd* *You* *Find* ") print heading ": " parts }
                /^## / { judge(); heading = $0; parts = "" }
                /^# / { judge(); heading = "" }
                /^\*[A-Za-z]+\*$/ { parts = parts $0 " " }'
}
check "each says what it means, what rekeyd does, what you do, and how to find it" nothing parts

# The index by symptom leads to headings, which it has in italics: _NAME waits for a one-time token_.
references() {
        sed -n '/^# BY SYMPTOM/,/^# WHEN/p' "$explanations" | tr -s '\n\t' ' ' | grep -o ' _[A-Z][^_]*_' | sed 's/^ _\(.*\)_$/\1/' | sort -u
}
references >"$work/references"
check "the index by symptom has entries" test "$(wc -l <"$work/references")" -ge 10
check "they lead to headings that are there" \
        nothing eval 'cut -d " " -f 2- "$work/headings" | sort | comm -13 - "$work/references"'

# Two things that mandoc finds are scdoc's and hurt nobody: empty paragraphs, and titles that are not in capitals.
faults() {
        mandoc -T lint "$1" |
                grep -v -e 'WARNING: skipping paragraph macro' -e 'STYLE: lower case character in document title'
}
width() {
        mandoc -T utf8 -O width=80 "$1" | LC_ALL=C.UTF-8 sed 's/.\x08//g' | LC_ALL=C.UTF-8 wc -L
}
if hash scdoc mandoc 2>/dev/null; then
        for source in "$sources"/man/*.scd; do
                page=$(basename "$source" .scd)
                check "scdoc takes $page" nothing eval 'scdoc <"$source" >"$work/$page"'
                check "mandoc takes $page" nothing faults "$work/$page"
                check "$page fits 80 columns" test "$(width "$work/$page")" -le 80
        done
fi
tap_end
