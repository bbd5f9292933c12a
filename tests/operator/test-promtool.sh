#!/usr/bin/env bash
# What an operator gets for Prometheus and Grafana, looked at by Prometheus' own tool: the page of metrics, the alerts
# with their tests, the expressions of the dashboard. And that all of them, and the manual, know the metrics that
# there are, and no others. Speaks TAP.
#
# Usage: test-promtool.sh METRICS_PAGE REKEYCTL CONF_DIRECTORY MAN_DIRECTORY
#
# METRICS_PAGE prints a page of metrics.

set -u
. "$(dirname "$0")/../support/tap.sh"

program=$(realpath "$1") rekeyctl=$(realpath "$2") conf=$(realpath "$3") man=$(realpath "$4")
alerts=$conf/rekeyd-alerts.yaml tests=$conf/rekeyd-alerts.test.yaml dashboard=$conf/rekeyd-dashboard.json
work=$(mktemp -d)
trap 'rm -rf "$work" "$tap_output"' EXIT
cd "$work" || exit 1

# none WHAT: fails if there is a line on standard input; each is WHAT.
none() {
        ! sed "s/^/$1: /" | grep .
}

# --- What there is ---

# The families as "NAME TYPE LABEL,LABEL": NAME of a sample is that of its family, or a histogram's with a suffix.
families() {
        awk '
                $2 == "TYPE" { family = $3; type[family] = $4; order[++n] = family; next }
                /^#/ || !/\{/ { next }
                {
                        text = substr($0, index($0, "{") + 1)
                        while (match(text, /^,?[a-z_]+="[^"]*"/)) {
                                label = substr(text, 1, RLENGTH)
                                text = substr(text, RLENGTH + 1)
                                gsub(/^,|=.*/, "", label)
                                if (label != "le" && !seen[family, label]++)
                                        labels[family] = labels[family] (labels[family] ? "," : "") label
                        }
                }
                END { for (i = 1; i <= n; i++) print order[i], type[order[i]], labels[order[i]] }' page | sort
}

# All that an expression may name.
series() {
        awk '{ print $1 } $2 == "histogram" { print $1 "_bucket"; print $1 "_sum"; print $1 "_count" }' families
}

# Names on standard input that no metric has.
unknown_names() {
        grep -oE '\b(rekeyd|process)_[a-z0-9_]+' | sort -u | comm -23 - series
}

for command in jq promtool; do
        command -v "$command" >/dev/null && continue
        printf '1..1\nok 1 - promtool # SKIP %s is not installed\n' "$command"
        exit 0
done

"$program" >page || { printf '1..1\nnot ok 1 - %s does not run\n' "$program"; exit 1; }
families >families
series | sort -u >series

# --- The tests ---

alert_names() {
        sed -n 's/^ *- alert: //p' "$alerts"
}

# Each alert has a time at which it fires, and one at which it does not.
has_both_cases() {
        local alert missing=0

        for alert in $(alert_names); do
                awk -v wanted="alertname=\"$alert\", alertstate=\"firing\"" '
                        index($0, wanted) { if (/exp_samples: \[\{/) fires++; else if (/\}$/) quiet++; else open = 1; next }
                        open && /exp_samples: \[\{/ { fires++; open = 0 }
                        END { exit !(fires && quiet) }' "$tests" || { echo "$alert has no case for, or none against"; missing=1; }
        done
        return $missing
}

# An alert that does not say what to do, or how urgent it is, is noise.
says_what_to_do() {
        awk '
                function done() {
                        if (name && !(severity && command)) { print name ": no severity, or no command to run"; bad = 1 }
                        name = ""; severity = command = 0
                }
                /- alert: / { done(); name = $3 }
                /labels: \{severity: (critical|warning)\}/ { severity = 1 }
                /rekeyctl [a-z]/ { command = 1 }
                END { done(); exit bad }' "$alerts"
}

# Commands of rekeyctl that are named, with their options, are commands that it has.
commands_exist() {
        local _ command rest option bad=0

        while read -r _ command rest; do
                "$rekeyctl" help "$command" >help 2>&1 || { echo "there is no rekeyctl $command"; bad=1; }
                for option in $rest; do
                        [[ $option != --* ]] || grep -q -e " $option " help ||
                                { echo "rekeyctl $command has no $option"; bad=1; }
                done
        done < <(tr -s '\n ' ' ' <"$alerts" | grep -oE '`rekeyctl [^`]*`' | tr -d '`')
        return $bad
}

# Each alert links to its section of the runbook, and no section is without an alert. Commands are those that there are.
runbook_fits() {
        local page=$conf/rekeyd-runbook.md

        diff --label alerts <(alert_names) --label runbook <(sed -n 's/^## //p' "$page") &&
                diff --label links <(sed -n 's/^ *runbook_url: .*#//p' "$alerts") --label alerts <(alert_names | tr 'A-Z' 'a-z') &&
                alerts=$page commands_exist
}

# The links name the runbook where it is installed, and the command in it sets another address for all of them.
links_resolve() {
        local page=$conf/rekeyd-runbook.md command bad

        bad=$(grep 'runbook_url:' "$alerts" | grep -vF " file:///usr/share/doc/rekeyd/examples/$(basename "$page")#") &&
                { echo "$bad"; return 1; }
        grep -q "'rekeyd-runbook.md'" "$conf/meson.build" || { echo "it is not installed"; return 1; }
        command=$(sed -n 's/^    \(sed -i .*\)$/\1/p' "$page")
        cp "$alerts" rekeyd-alerts.yaml && sh -c "${command/YOUR-URL/https:\/\/wiki.example.com\/rekeyd}" || return
        [ "$(grep -c 'runbook_url: https://wiki.example.com/rekeyd#' rekeyd-alerts.yaml)" -eq "$(alert_names | wc -l)" ]
}

dashboard_expressions() {
        jq -r '.. | objects | .expr // .definition // empty' "$dashboard"
}

# Panels that Grafana can place, and whose data can come from anywhere.
dashboard_is_well_formed() {
        jq -e '
                [.panels[] | select(.type != "row")] as $panels
                | (.uid == "rekeyd") and (.schemaVersion >= 30)
                and ([.templating.list[] | select(.type == "datasource" and .query == "prometheus") | .name] == ["datasource"])
                and ([.panels[].id] | length == (unique | length))
                and ([.panels[].title] | length == (unique | length) and all(length > 0))
                and (.panels | all(.gridPos | .x >= 0 and .w > 0 and .h > 0 and .x + .w <= 24))
                and ($panels | length >= 15 and all(.datasource.uid == "${datasource}" and (.targets | length > 0)))
                and ([$panels[].targets[]] | all(.datasource.uid == "${datasource}" and (.expr | length > 0)))
                and ($panels | all((.description // "") | length > 0))
                and ($panels | all([.targets[].refId] | length == (unique | length)))' "$dashboard"
}

# No two panels lie on each other.
panels_do_not_overlap() {
        jq -r '
                [.panels[] | {title} + .gridPos] as $p
                | range($p | length) as $i | range($i + 1; $p | length) as $j | $p[$i] as $a | $p[$j] as $b
                | select($a.x < $b.x + $b.w and $b.x < $a.x + $a.w and $a.y < $b.y + $b.h and $b.y < $a.y + $a.h)
                | "\($a.title) and \($b.title)"' "$dashboard" | none "these overlap"
}

# As rules, in which promtool parses them; a variable is any value that Grafana may put there.
expressions_parse() {
        dashboard_expressions | grep -v '^label_values' |
                sed 's/\$__rate_interval/5m/g; s/\$[a-z_]*/.*/g' |
                jq -R -s '{groups: [{name: "dashboard", rules: [split("\n")[] | select(length > 0)] | to_entries
                        | map({record: "panel:\(.key)", expr: .value})}]}' >dashboard.yaml || return
        promtool check rules dashboard.yaml
}

# A page of the manual lists families as "*NAME*{LABEL, LABEL}, TYPE".
manual_agrees() {
        cat "$man"/*.scd | sed -E '/^\*[a-z_]+\*\{.*,$/ { N; s/\n/ / }' | # broken where a line is full
                sed -nE 's/^\*((rekeyd|process)_[a-z_]+)\*(\{([a-z_, ]*)\})?, ([a-z]+)$/\1 \5 \4/p' |
                sed 's/, /,/g' | sort >manual
        grep -q . manual || { echo "no page lists the metrics"; return 1; }
        diff --label manual manual --label page families -U0
}

check "promtool likes the metrics" promtool check metrics <page
check "promtool likes the alerts" promtool check rules "$alerts"
check "promtool likes the scrape configuration" promtool check config --syntax-only "$conf/prometheus-example.yaml"
check "alerts fire when they should, and only then" promtool test rules "$tests"
check "every alert has a case for and one against" has_both_cases
check "every alert says how urgent it is, and what to do" says_what_to_do
check "rekeyctl has the commands that alerts name" commands_exist
check "every alert has its section of the runbook" runbook_fits
check "the links lead to it, and can be set to another address" links_resolve
check "the alerts know the metrics" none "no such metric" < <(grep -v '^ *#' "$alerts" | unknown_names)
check "the alerts' tests know the metrics" none "no such metric" < <(unknown_names <"$tests")
check "the dashboard is well formed" dashboard_is_well_formed
check "its panels have a place each" panels_do_not_overlap
check "its expressions can be parsed" expressions_parse
check "it knows the metrics" none "no such metric" < <(dashboard_expressions | unknown_names)
check "the manual knows every metric, and no other" manual_agrees

tap_end
