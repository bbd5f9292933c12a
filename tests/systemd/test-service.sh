#!/usr/bin/env bash
# The packages in a Debian 12 with systemd: what an administrator does with rekeyd there, from the installation to the
# purge, in one boot and one reboot. What happened is read from the journal and from `systemctl show`.
#
#   test-service.sh SOURCES BUILD      packages and root are kept in BUILD/service-test
#
# devconnector is a unit there as well. Nothing reaches a network: the container has a loopback only.

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../support/tap.sh"
. "$here/container.sh"

sources=$1
store=$2/service-test

# The packages, built again when a file that they are made of has changed. In $packages.
make_packages() {
        packages=$store/packages
        local newest
        newest=$(find "$sources" \( -name '.git' -o -path "$sources/build*" -o -path "$sources/tests" \) -prune -o \
                -type f -newer "$packages/stamp" -print -quit 2>&1)
        [ -e "$packages/stamp" ] && [ -z "$newest" ] && return 0

        echo "# building the packages"
        mkdir -p "$packages" && touch "$packages/stamp.new" &&
                "$sources/packaging/build-deb" "$packages" >"$packages/log" 2>&1 || { cat "$packages/log" >&2; return 1; }
        mv "$packages/stamp.new" "$packages/stamp"
}

if [ "${3:-}" != inside ]; then
        [ "$(id -u)" -eq 0 ] || ! sudo -n true 2>/dev/null || exec sudo -n "$0" "$@"
        obstacle=$(container_obstacle)
        [ -z "$obstacle" ] || tap_skip "$obstacle"
        # One computes, the other waits for its mirror.
        make_packages &
        make_root "$store" || { echo "Bail out! a root of Debian 12 cannot be made"; exit 1; }
        wait $! || { echo "Bail out! the packages cannot be built"; exit 1; }
        # The first process of its own name-space: whatever happens, nothing outlives it.
        exec unshare --mount --pid --fork --kill-child --mount-proc "$0" "$sources" "$2" inside
fi

messages=$sources/daemon/observe/messages.h
message() {
        sed -n '/#define MESSAGE_'"$1"'[ \\]*/{N;s/.*MESSAGE_'"$1"'[ \\\n]*"\([0-9a-f]\{32\}\)".*/\1/p;q}' "$messages"
}

# message_of NAME, connector_says EVENT: filters for await and since.
message_of() {
        echo ".MESSAGE_ID == \"$(message "$1")\""
}

connector_says() {
        echo "._SYSTEMD_UNIT == \"devconnector.service\" and (.MESSAGE | tostring | contains(\"\\\"$1\\\"\"))"
}

packages=$store/packages
make_root "$store" && lay_root "$store/layer" || { echo "Bail out! the root cannot be mounted"; exit 1; }
mkdir "$root/root/packages" && cp "$packages"/{rekeyd,devconnector,rekeyca}_*.deb "$root/root/packages/"

for part in install first-start dependents reload operator adopt watchdog reboot owner rekeyca remove; do
        . "$here/service-$part.sh"
done
tap_end
