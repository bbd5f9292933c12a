#!/usr/bin/env bash
# The image: built twice it is the same, and it has what it should and nothing else. Then it runs here without an engine,
# unpacked, read-only, as a user whom nobody knows and without capabilities, on volumes as kubelet makes them; it enrols,
# answers probes, renews, and ends on SIGTERM.
#
#   test-image.sh SOURCES DEVCONNECTOR

set -u
sources=$1
devconnector=$2
here=$(dirname "$0")
. "$here/../support/tap.sh"

[ "$(id -u)" -eq 0 ] || tap_skip "only root can make name-spaces and give volumes away"
for tool in buildah jq curl openssl python3; do
        hash "$tool" 2>/dev/null || tap_skip "$tool is missing"
done
unshare --mount --pid --fork sh -c 'mount -t tmpfs tmpfs /mnt' 2>/dev/null || tap_skip "mounting is not allowed here"

work=$(mktemp -d "${TMPDIR:-/tmp}/rekeyd-image-test-XXXXXX") || exit 1
chmod 755 "$work"
clean_up() {
        kill $(jobs -p) 2>/dev/null
        wait
        rm -rf "$work" "$tap_output"
}
trap clean_up EXIT

# --- As it is built ---

image_size_max=30000000

# The second one somewhere else, so that no path shows in it.
build() {
        mkdir -p "$work/tmp-$1" && TMPDIR=$work/tmp-$1 "$sources/scripts/build-image" "$work/$1"
}
archive() {
        echo "$work/$1"/rekeyd-*.tar
}
milestone "scripts/build-image builds" build first
milestone "and again" build second
check "the digest is the same" same "$(cat "$work/first/digest")" "$(cat "$work/second/digest")"
check "and so is each bit" cmp "$(archive first)" "$(archive second)"
check "the SBOM too" cmp "$work/first/sbom.spdx.json" "$work/second/sbom.spdx.json"
echo "# $(cat "$work/first/digest")"

unpack() {
        local layer
        mkdir "$work/image" "$work/root" && tar -xf "$(archive first)" -C "$work/image" &&
                for layer in $(jq -r '.[].Layers[]' "$work/image/manifest.json"); do
                        tar -xpf "$work/image/$layer" -C "$work/root" || return
                done
        config=$work/image/$(jq -r '.[].Config' "$work/image/manifest.json")
}
milestone "it can be unpacked" unpack

size=$(du -s --apparent-size --block-size=1 "$work/root" | cut -f 1)
echo "# $size bytes unpacked, $(find "$work/root" -type f | wc -l) files"
check "unpacked it has 30 MB at most" test "$size" -le "$image_size_max"
check "the digest is that of its configuration" same "$(cat "$work/first/digest")" "sha256:$(sha256sum <"$config" | cut -d ' ' -f 1)"

setting() {
        jq -r "$1" "$config"
}
check "it runs as a user with a number" same "$(setting .config.User)" 65532:65532
check "it starts rekeyd" same "$(setting '.config.Entrypoint|join(" ")')" /usr/sbin/rekeyd
check "its health is asked of rekeyd" same "$(setting '.config.Healthcheck.Test|join(" ")')" "CMD /usr/bin/rekeyctl version"
check "it says its version" same "$(setting '.config.Labels["org.opencontainers.image.version"]')" \
        "$(sed -n "s/^  version: '\(.*\)',/\1/p" "$sources/meson.build")"
check "its license" same "$(setting '.config.Labels["org.opencontainers.image.licenses"]')" Apache-2.0
check "and its time" matches "$(setting .created)" '^20..-..-..T..:..:..Z$'
check "nothing of the machine is in it" not grep -aq -e "$work" -e "$(hostname)" "$config"

# --- What is in it ---

programs() {
        find "$work/root" -type f -perm /111 ! -name '*.so*' -printf '/%P\n' | sort | xargs
}
check "rekeyd and rekeyctl are the only programs" same "$(programs)" "/usr/bin/rekeyctl /usr/sbin/rekeyd"
check "nothing has the rights of its owner" nothing find "$work/root" -perm /7000
check "nobody but root may write to it, except what is rekeyd's" same \
        "$(find "$work/root" ! -type l \( -perm /022 -o ! -uid 0 \) -printf '/%P %m %U:%G\n' | sort | xargs)" \
        "/run/rekeyd 755 65532:65532 /var/lib/rekeyd 755 65532:65532"

# Each library is one that a program, or another library, asks for.
asked_for() {
        find "$work/root" -type f -perm /111 -exec readelf -dW {} + 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u
}
there() {
        find "$work/root" -name '*.so*' -type f ! -name 'ld-linux*' -printf '%f\n' | sort
}
check "no library is missing, and none is there for nothing" same "$(there | xargs)" "$(asked_for | grep -v '^ld-linux' | xargs)"

# The list against the database of packages, the other way round: from each file to its package.
sbom=$work/root/usr/share/doc/rekeyd/sbom.spdx.json
listed() {
        jq -r '.packages[] | select(.name != "rekeyd") | "\(.name) \(.versionInfo)"' "$sbom" | sort
}
owned() {
        {
                find "$work/root" -name '*.so*' -type f -printf '/%P\n' | while read -r path; do
                        path=$(realpath "$path")
                        dpkg-query -S "$path" 2>/dev/null || dpkg-query -S "${path#/usr}"
                done | cut -d : -f 1
                echo base-files
                echo ca-certificates
        } | sort -u | while read -r package; do
                dpkg-query -W -f '${Package} ${Version}\n' "$package:$(dpkg --print-architecture)" 2>/dev/null ||
                        dpkg-query -W -f '${Package} ${Version}\n' "$package"
        done | sort
}
check "the SBOM has the packages of all files, and no others" same "$(listed | xargs)" "$(owned | xargs)"
echo "# $(listed | wc -l) packages"
check "it is SPDX 2.3, and describes rekeyd" same \
        "$(jq -r '.spdxVersion + " " + .dataLicense + " " + (.relationships[] | select(.relationshipType == "DESCRIBES").relatedSpdxElement)' "$sbom")" \
        "SPDX-2.3 CC0-1.0 SPDXRef-Package-rekeyd"
check "each package in it can be looked up" same "$(jq '[.packages[] | select(.externalRefs[]?.referenceLocator | startswith("pkg:deb/debian/"))] | length' "$sbom")" \
        "$(listed | wc -l)"
check "with a text of its license" nothing eval \
        'listed | while read -r name version; do [ -s "$work/root/usr/share/doc/$name/copyright" ] || echo "$name"; done'
check "the SBOM beside the image is the one in it" cmp "$sbom" "$work/first/sbom.spdx.json"
check "the CA certificates are those of Debian's package alone" same \
        "$(grep -c BEGIN "$work/root/etc/ssl/certs/ca-certificates.crt")" "$(ls /usr/share/ca-certificates/mozilla | wc -l)"

# --- It runs ---

user=$((1000650000 + RANDOM))
fs_group=$((1000650000 + RANDOM))

start_connector() {
        local ready
        exec {connector}< <(exec "$devconnector" --directory "$work/connector" --lifetime 1h 2>/dev/null)
        connector_pid=$!
        IFS= read -r -t 120 -u "$connector" ready || return
        token_url=$(jq -r .token_url <<<"$ready")
        admin_url=$(jq -r .admin_url <<<"$ready")
        trust=$(jq -r .trust <<<"$ready")
}
milestone "devconnector starts" start_connector

# kubelet: the group of the pod, and its right to write, at each mount.
kubelet_mount() {
        local volume
        for volume; do
                chgrp -hR "$fs_group" "$work/$volume" &&
                        find "$work/$volume" -type d -exec chmod ug+rwx,g+s {} + &&
                        find "$work/$volume" -type f -exec chmod ug+rw {} + || return
        done
}
free_port() {
        python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
make_volumes() {
        mkdir "$work"/{certs,state,run,configuration,token} && chmod 777 "$work/run" || return
        port=$(free_port)
        cat >"$work/configuration/rekeyd.yaml" <<-END
	state_directory: /var/lib/rekeyd
	log: {format: json}
	http: {listen: "127.0.0.1:$port"}
	control: {socket: /run/rekeyd/control/socket}
	connectors:
	  dev: {enrol_url: '$token_url', trust: /etc/rekeyd/server-ca.crt}
	defaults: {key: {bits: 2048}}
	certificates:
	  orders:
	    connector: dev
	    directory: /certs/orders
	    token_file: /token/token
	    group: $fs_group
	    mode: 0640
	END
        cp "$trust" "$work/configuration/server-ca.crt" || return
        curl -sf -d '{"client":"client-1"}' "$admin_url/tokens" | jq -r .token >"$work/token/token" || return
        chgrp -R "$fs_group" "$work/configuration" "$work/token" && chmod 640 "$work"/{configuration,token}/* &&
                kubelet_mount certs state run &&
                mkdir -p "$work"/root/{certs,token,proc,dev}
}
milestone "the volumes are as kubelet makes them" make_volumes

contain() {
        "$here/contain" --user "$user" --group "$fs_group" "$@"
}
# rekeyd is process 1 of its name-space; the last line is its exit status.
start() {
        exec {log}< <(
                unshare --mount --pid --fork --propagation private "$here/contain" --user "$user" --group "$fs_group" \
                        --pid-file "$work/pid" \
                        --volume "$work/certs:/certs" --volume "$work/state:/var/lib/rekeyd" --volume "$work/run:/run/rekeyd" \
                        --volume "$work/configuration:/etc/rekeyd:ro" --volume "$work/token:/token:ro" \
                        "$work/root" $(setting '.config.Entrypoint|join(" ")') 2>&1
                echo "EXIT $?"
        )
}
# await TEXT: the next line of its output with TEXT in it.
await() {
        local line
        while IFS= read -r -t 60 -u "$log" line; do
                printf '%s\n' "$line"
                [[ $line == *"$1"* ]] && return 0
        done
        return 1
}
# Another command in the same container.
inside() {
        nsenter --mount --pid --target "$(cat "$work/pid")" -- "$here/contain" --join --user "$user" --group "$fs_group" \
                "$work/root" "$@"
}
probe() {
        curl -s -o /dev/null -w '%{http_code}' --max-time 30 "http://127.0.0.1:$port$1"
}
status_of() {
        sed -n "s/^$1:[[:space:]]*//p" "/proc/$(cat "$work/pid")/status" | tr '\t' ' '
}
rights() {
        stat -L -c '%a %u:%g' "$1"
}
healthcheck() {
        inside $(setting '.config.Healthcheck.Test[1:]|join(" ")')
}

start
milestone "it enrols" await '"message":"orders: enrolled'
check "as a user whom nobody knows" same "$(status_of Uid)" "$user $user $user $user"
check "without capabilities" same "$(status_of CapEff) $(status_of CapPrm) $(status_of CapBnd)" \
        "0000000000000000 0000000000000000 0000000000000000"
check "and without a way to get one" same "$(status_of NoNewPrivs)" 1
check "its root is read-only" grep -qE '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / ro' "/proc/$(cat "$work/pid")/mountinfo"
check "/healthz" same "$(probe /healthz)" 200
check "/readyz" same "$(probe /readyz)" 200
check "/metrics" eval 'curl -s "http://127.0.0.1:$port/metrics" | grep -q "^rekeyd_certificate_"'
check "the HEALTHCHECK of the image passes" healthcheck
check "the pair is one" same "$(openssl x509 -in "$work/certs/orders/tls.crt" -noout -pubkey)" \
        "$(openssl pkey -in "$work/certs/orders/tls.key" -pubout)"
check "the pod's group may read the key" same "$(rights "$work/certs/orders/tls.key")" "640 $user:$fs_group"
before=$(openssl x509 -in "$work/certs/orders/tls.crt" -noout -fingerprint)
check "it renews" inside /usr/bin/rekeyctl renew --force orders
check "to another certificate" not same "$before" "$(openssl x509 -in "$work/certs/orders/tls.crt" -noout -fingerprint)"
kill -TERM "$(cat "$work/pid")"
check "it ends on SIGTERM" await "EXIT 0"

# The pod is made anew: everything may be written to by the group again.
kubelet_mount certs state run
check "kubelet opens the key" same "$(rights "$work/certs/orders/tls.key")" "660 $user:$fs_group"
start
check "a second pod starts with the set that is there" await '"message":"orders: generation 2 is current'
check "and closes the key again" same "$(rights "$work/certs/orders/tls.key")" "640 $user:$fs_group"
check "/readyz again" same "$(probe /readyz)" 200
kill -TERM "$(cat "$work/pid")"
check "it ends on SIGTERM again" await "EXIT 0"
check "no probe is answered then" same "$(probe /healthz)" 000

kill "$connector_pid"
tap_end
