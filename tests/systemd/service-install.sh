# Installation: what the packages bring, and what the service may do.

clean_packages() {
        local output
        output=$(lintian --allow-root --fail-on error,warning "$packages"/*.changes 2>&1) ||
                { printf '%s\n' "$output"; return 1; }
}
check "lintian has nothing to say about the packages" clean_packages

# Where nothing is installed yet, as in a container.
wanted_without_systemd() {
        apt-get -s -o Dir::State::status=/dev/null --no-install-recommends install "$packages"/rekeyd_*.deb |
                sed -n 's/^Inst \(systemd[^ ]*\) .*/\1/p' | xargs
}
check "the package does not bring systemd" same "$(wanted_without_systemd)" systemd-standalone-sysusers

milestone "the container boots" boot
check "all of its units are well" same "$(inside systemctl is-system-running --wait)" running
inside sh -c 'dpkg -i /root/packages/*.deb' >"$layer/dpkg.log" 2>&1
milestone "the packages install" same "$? $(grep -i 'warning\|error' "$layer/dpkg.log")" "0 "
check "a new service with no certificate in its configuration is enabled" \
        same "$(inside systemctl is-enabled rekeyd)" enabled
milestone "and runs" same "$(property rekeyd ActiveState)/$(property rekeyd SubState)" active/running
check "its example of a configuration is right when the signs # are taken away" \
        inside sh -c 'sed "/^# connectors/,\$ s/^# \\?//" /etc/rekeyd/rekeyd.yaml >/tmp/example.yaml &&
                grep -q ^certificates /tmp/example.yaml && rekeyd -c /tmp/example.yaml --check-config'
check "the place for tokens is root's to write and the service's to read" \
        same "$(inside stat -c '%a %U %G' /etc/rekeyd/tokens)" "2750 root rekeyd"

verify() {
        nothing inside systemd-analyze verify --man=no rekeyd.service
}
check "systemd-analyze verify is silent" verify
exposure=$(inside systemd-analyze security --no-pager rekeyd.service | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
echo "# systemd-analyze security rekeyd.service: $exposure"
check "systemd-analyze security says 1.5 or less" jq -en "${exposure:-9} <= 1.5"

status() {
        inside sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property rekeyd MainPID)/status"
}
uid=$(inside id -u rekeyd)
check "rekeyd runs as its own user" same "$(status Uid | xargs)" "$uid $uid $uid $uid"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        check "it has no capability: $set" same "$(status $set)" 0000000000000000
done
check "it can get none" same "$(status NoNewPrivs)" 1
check "it is under a filter of system calls" same "$(status Seccomp)" 2
