# Sourced by test-service.sh: a Debian 12 with systemd as its first process, in name-spaces of its own, without a
# network. The root is made once, from the package sources of this machine, and lies below the build directory; each
# run writes to a layer of its own in memory.

suite=bookworm
root_packages=(
        systemd-sysv libpam-systemd dbus polkitd procps iproute2 openssl curl jq ca-certificates nginx-light
        libcurl4 libjansson4 libyaml-0-2 libmicrohttpd12 libevent-2.1-7 libevent-openssl-2.1-7
)

# Why no container can be had here; nothing where it can.
container_obstacle() {
        [ "$(id -u)" -eq 0 ] || { echo "only root can make name-spaces for a whole system"; return; }
        unshare --mount --pid --net --uts --ipc --fork true 2>/dev/null || { echo "name-spaces are not allowed here"; return; }
        unshare --mount sh -c 'mount -t tmpfs tmpfs /mnt' 2>/dev/null || { echo "mounting is not allowed here"; return; }
        hash systemd-nspawn debootstrap jq lintian 2>/dev/null || echo "systemd-nspawn, debootstrap, jq or lintian is missing"
}

# make_root DIRECTORY: leaves the path of the root in $base.
make_root() {
        local sources mirror key log=$1/root.log

        key=$(printf '%s\n' "$suite" "${root_packages[@]}" | sha256sum | cut -c 1-12)
        base=$1/root-$key
        [ -e "$base.complete" ] && return 0

        rm -rf "$1"/root-*
        mkdir -p "$1"
        echo "# making a root of Debian 12 in $base"
        flock /var/lib/apt/lists apt-get -q update >"$log" 2>&1 || { cat "$log" >&2; return 1; }
        sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' \
                'Created-By: Packages' 'Origin: Debian' | grep " $suite" | sort -u)
        mirror=$(awk -v "suite=$suite" '$3 == suite { print $2; exit }' <<<"$sources")
        [ -n "$mirror" ] || { echo "apt knows no mirror of Debian's $suite" >&2; return 1; }

        debootstrap --variant=minbase "$suite" "$base" "$mirror" >>"$log" 2>&1 || { tail "$log" >&2; return 1; }
        printf '%s\n' "$sources" >"$base/etc/apt/sources.list"
        apt-config dump Acquire | grep -v '^Acquire::IndexTargets' >"$base/etc/apt/apt.conf.d/90acquire"
        chroot "$base" sh -c '
                export DEBIAN_FRONTEND=noninteractive
                apt-get -q update && apt-get -q -y --no-install-recommends install "$@" && apt-get clean' \
                sh "${root_packages[@]}" >>"$log" 2>&1 || { tail "$log" >&2; return 1; }
        # What goes off by itself has no place in a test.
        rm -f "$base"/etc/systemd/system/timers.target.wants/*
        touch "$base.complete"
}

# lay_root DIRECTORY: a layer in memory above $base, mounted there, with the root of the container at $root. The
# name-spaces that this script runs in end with it, and with them the mount and every process.
lay_root() {
        layer=$1

        mkdir -p "$layer" && mount -t tmpfs -o mode=755 tmpfs "$layer" &&
                mkdir "$layer/upper" "$layer/work" "$layer/root" &&
                mount -t overlay -o "lowerdir=$base,upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/root" ||
                return 1
        # nspawn and the systemd of this machine shall know nothing of each other.
        mkdir -p /run/systemd && mount -t tmpfs -o mode=755 tmpfs /run/systemd || return 1

        root=$layer/root
        booted=$layer/booted
        mkfifo "$booted"
        cat >"$root/etc/systemd/system/booted.service" <<-END
		[Unit]
		After=multi-user.target
		[Service]
		Type=oneshot
		ExecStart=/bin/sh -c 'echo booted >/run/booted'
		[Install]
		WantedBy=multi-user.target
	END
        ln -s ../booted.service "$root/etc/systemd/system/multi-user.target.wants/booted.service"
}

boot() {
        local line=

        systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --private-network --settings=no \
                --console=pipe --link-journal=no --resolv-conf=off --timezone=off --machine=rekeyd-test \
                --bind="$booted:/run/booted" </dev/null >>"$layer/console" 2>&1 &
        nspawn=$!
        # Opened for both ways, so that a boot which fails is noticed by the time-out and not never.
        read -r -t 120 line <>"$booted"
        leader=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null)
        leader=${leader%% *}
        [ "$line" = booted ] || { cat "$layer/console" >&2; return 1; }
}

# reboot: as an operator does. nspawn ends with this status when it is to be started again.
reboot() {
        inside systemctl reboot
        wait "$nspawn"
        same $? 133 && boot
}

# inside COMMAND...: runs it in the container, as root.
inside() {
        nsenter --target "$leader" --all -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root "$@"
}

# write FILE: stdin becomes that file in the container.
write() {
        inside sh -c 'mkdir -p "${1%/*}" && cat >"$1"' sh "$1"
}

property() {
        inside systemctl show --value -p "$2" "$1"
}

# becomes UNIT PROPERTY REGEX: rekeyd tells its status once a second at most, and nothing tells us; so this asks.
becomes() {
        local deadline=$((SECONDS + 30)) value
        while value=$(property "$1" "$2") && [ $SECONDS -lt $deadline ]; do
                [[ $value =~ $3 ]] && return 0
                inside sleep 0.2
        done
        matches "$value" "$3"
}

# mark: what is awaited from now on comes after this.
mark() {
        cursor=$(inside journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
}

# await FILTER: the first entry of the journal since the mark that this filter of jq chooses; it is left in $entry.
# Matches of journalctl's own would not do: it passes over the first entry that matches after a cursor which does not.
await() {
        entry=$(inside bash -c '
                exec 3< <(exec journalctl -f --no-tail -o json --after-cursor "$1")
                timeout "$3" jq -c -n "first(inputs | select($2))" <&3
                kill $!' bash "$cursor" "$1" "${await_limit:-60}" 2>/dev/null)
        [ -n "$entry" ] && return 0
        echo "no entry since the mark has $1; there are:"
        inside journalctl --after-cursor "$cursor" --no-pager -n 40
        return 1
}

# since FILTER: how many entries there are since the mark.
since() {
        inside journalctl --after-cursor "$cursor" -o json --no-pager | jq -c "select($1)" | wc -l
}

field() {
        jq -r --arg name "$1" '.[$name] // ""' <<<"$entry"
}
