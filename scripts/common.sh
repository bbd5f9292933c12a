# Sourced by scripts/demo and scripts/test: the packages from Debian, and the builds.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
        printf '\n==> %s\n' "$*"
}

die() {
        printf '\n%s: %s\n' "${0##*/}" "$*" >&2
        exit 1
}

build_packages=(
        gcc libc6-dev meson ninja-build pkg-config
        libssl-dev libcurl4-openssl-dev libyaml-dev libjansson-dev libsystemd-dev libevent-dev
        libmicrohttpd-dev
        check
)

# install_packages PACKAGE...: what is missing, from Debian's archive; nothing when nothing is.
install_packages() {
        local package missing=() sudo=()

        for package; do
                dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
                        missing+=("$package")
        done
        [ ${#missing[@]} -eq 0 ] && return 0

        if [ "$(id -u)" -ne 0 ]; then
                command -v sudo >/dev/null ||
                        die "these packages are missing and only root can install them: ${missing[*]}"
                sudo=(sudo)
        fi
        say "Installing from Debian: ${missing[*]}"
        # A daemon that is installed for a test must not be started on this machine by its package.
        if [ ! -e /usr/sbin/policy-rc.d ]; then
                printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee /usr/sbin/policy-rc.d >/dev/null
                "${sudo[@]}" chmod 755 /usr/sbin/policy-rc.d
                trap '"${sudo[@]}" rm -f /usr/sbin/policy-rc.d' RETURN
        fi
        # Of several that update at the same time each waits for the others; apt-get fails at once.
        "${sudo[@]}" flock /var/lib/apt/lists apt-get -q update >/dev/null || die "apt-get update failed"
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
                apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "${missing[@]}" >/dev/null ||
                die "apt-get install failed"
}

# [target=NAME] build DIRECTORY [MESON_OPTION...]: configures once, then builds what changed, of all or of one target.
build() {
        local directory=$1
        shift

        say "Building in $directory"
        if [ ! -f "$directory/build.ninja" ]; then
                meson setup "$directory" "$@" >"$directory.log" 2>&1 ||
                        { cat "$directory.log" >&2; die "meson setup failed"; }
                rm -f "$directory.log"
        fi
        ninja -C "$directory" ${target:+"$target"} | tail -n 1
        [ "${PIPESTATUS[0]}" -eq 0 ] || { ninja -C "$directory" ${target:+"$target"} >&2; die "the build failed"; }
}
