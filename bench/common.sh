# Sourced by bench/run and bench/peers, after scripts/common.sh.

# The date and the machine, as a line above a table.
machine() {
        printf '%s. %s processors (%s), Linux %s, %s, %s.\n' "$(LC_ALL=C date '+%-d %B %Y')" "$(nproc)" \
                "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" "$(uname -r)" \
                "$(. /etc/os-release && echo "$PRETTY_NAME")" "$(openssl version | cut -d ' ' -f 1-2)"
}

# bench PROGRAM BUILD [OPTION...]: the table of a program in BUILD/bench/ on standard output, and the rest on standard
# error. Returns its status.
bench() {
        local program=$1 directory

        directory=$(cd "$2" && pwd)
        shift 2
        machine
        REKEYD_BENCH=$PWD/bench REKEYD_TEST_REKEYD=$directory/daemon/rekeyd REKEYD_TEST_REKEYCTL=$directory/ctl/rekeyctl \
                REKEYD_TEST_DEVCONNECTOR=$directory/devconnector/devconnector \
                REKEYD_BENCH_LIBRARIES=$directory/bench/bench-libraries "$directory/bench/$program" "$@" |
                awk '/^(#|not ok)/ { print > "/dev/stderr"; next } /^(ok |1\.\.)/ { next } { print; fflush() }'
        return "${PIPESTATUS[0]}"
}
