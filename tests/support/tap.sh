# Sourced by the tests here: TAP on stdout, one line for each check.

tap_count=0
tap_failed=0
tap_output=$(mktemp) || exit 1
trap 'rm -f "$tap_output"' EXIT

# check TEXT COMMAND...: passes when the command does; shows its output when it does not. The command runs in this
# shell, so a function may leave something in a variable.
check() {
        local text=$1
        shift

        tap_count=$((tap_count + 1))
        if "$@" >"$tap_output" 2>&1; then
                echo "ok $tap_count - $text"
                return 0
        fi
        echo "not ok $tap_count - $text"
        sed 's/^/#   /' "$tap_output"
        tap_failed=$((tap_failed + 1))
        return 1
}

# milestone TEXT COMMAND...: a check without which nothing that follows makes sense.
milestone() {
        check "$@" && return 0
        echo "Bail out! $1: not so"
        exit 1
}

same() {
        [ "$1" = "$2" ] || { echo "is '$1', wanted '$2'"; return 1; }
}

matches() {
        [[ $1 =~ $2 ]] || { echo "is '$1', wanted to match '$2'"; return 1; }
}

nothing() {
        local output
        output=$("$@" 2>&1)
        [ -z "$output" ] || { printf '%s\n' "$output"; return 1; }
}

not() {
        ! "$@"
}

tap_end() {
        echo "1..$tap_count"
        exit $((tap_failed > 0))
}

# tap_stop REASON: what has run counts, and the rest cannot be tried here.
tap_stop() {
        tap_count=$((tap_count + 1))
        echo "ok $tap_count - the rest # SKIP $1"
        echo "# SKIP the rest: $1"
        tap_end
}

tap_skip() {
        echo "1..0 # SKIP $1"
        echo "# SKIP $1"
        exit 0
}
