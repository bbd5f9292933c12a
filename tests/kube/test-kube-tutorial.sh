#!/usr/bin/env bash
# The tutorial "Rotate the Root CA certificate and key" upon the Secrets of a real API server: its three scenarios with its
# own commands, and beside them rekeyca. All that is left in the Secrets is compared. What differs is printed with what
# explains it; what differs without a reason fails, and so does a reason that nothing shows. As TAP.

set -u
rekeyca=$REKEYD_TEST_REKEYCA
kube=${REKEYD_TEST_KUBE:-}
. "$(dirname "$0")/../support/tap.sh"
[ -n "$kube" ] || { echo "1..0 # SKIP there is no API server"; exit 0; }

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
exec 2>"$work/errors"
export KUBECONFIG=$kube/kubeconfig HOME=$work
signer=connector-service-app-ca trust=kyma-gateway-ca-certs

# --- The CA, as Go programs make it, and a bundle that has another one and no newline at its end ---

cat >ca.cnf <<END
[req]
distinguished_name = dn
string_mask = default
prompt = no
[dn]
CN = Kyma
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyEncipherment,keyCertSign
subjectKeyIdentifier = 01:02:03:04:05:06:07:08
[leaf]
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
END

make_ca() {
        openssl req -x509 -newkey rsa:2048 -nodes -keyout first.key -out first.crt -days 30 -config ca.cnf -extensions ca \
                -set_serial 2
        openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.crt -days 30 -subj /CN=Other
        openssl req -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=client -out leaf.csr
        openssl x509 -req -in leaf.csr -CA first.crt -CAkey first.key -set_serial 3 -days 20 -extfile ca.cnf \
                -extensions leaf -out leaf.crt
        printf %s "$(cat other.crt first.crt)" >bundle.pem
}

# secret NAME KEY=FILE...: its manifest.
secret() {
        printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {namespace: %s, name: %s, labels: {team: blue}, ' "$1" "$2"
        printf 'annotations: {note: kept}}\ndata:\n'
        for pair in "${@:3}"; do
                printf '  %s: %s\n' "${pair%%=*}" "$(base64 -w0 "${pair#*=}")"
        done
}

make_secrets() {
        kubectl create -f - < <(
                printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n' "$1"
                secret "$1" $signer ca.key=first.key ca.crt=first.crt
                secret "$1" $trust ca.crt=bundle.pem
        )
}

# value NAMESPACE SECRET KEY
value() {
        kubectl -n "$1" get secret "$2" -o=jsonpath="{.data.${3//./\\.}}" | base64 --decode
}

# --- By hand. An editor is what a person does in it: the value of a key is replaced ---

cat >editor <<'END'
#!/bin/sh
sed -i "s|^  $EDIT_KEY: .*|  $EDIT_KEY: $(base64 -w0 "$EDIT_FILE")|" "$1"
END
chmod +x editor

# edit NAMESPACE SECRET KEY FILE
edit() {
        KUBE_EDITOR=$work/editor EDIT_KEY=$3 EDIT_FILE=$4 kubectl -n "$1" edit secret "$2"
}

# The name is typed in as it reads.
new_certificate() {
        printf '.\n.\n.\n.\n.\nKyma\n.\n' | openssl req -new -key "$1" -x509 -sha256 -days 3650 -nodes -out new-ca.crt
}

# Steps 1 to 13 without the restarts; the bundle of step 8 stays as merged-NAMESPACE.pem.
hand_expiring() {
        kubectl -n "$1" get secret $signer -o=jsonpath='{.data.ca\.key}' | base64 --decode >ca.key
        new_certificate ca.key
        edit "$1" $signer ca.crt new-ca.crt
        kubectl -n "$1" get secret $trust -o=jsonpath='{.data.ca\.crt}' | base64 --decode >old-ca.crt
        cat old-ca.crt new-ca.crt >merged-ca.crt
        edit "$1" $trust ca.crt merged-ca.crt
        value "$1" $trust ca.crt >"merged-$1.pem"
        edit "$1" $trust ca.crt new-ca.crt
}

hand_certificate-compromised() {
        kubectl -n "$1" get secret $signer -o=jsonpath='{.data.ca\.key}' | base64 --decode >ca.key
        new_certificate ca.key
        edit "$1" $signer ca.crt new-ca.crt
        edit "$1" $trust ca.crt new-ca.crt
}

hand_key-compromised() {
        openssl genrsa -out new-ca.key 2048 # the tutorial has 4096
        new_certificate new-ca.key
        edit "$1" $signer ca.crt new-ca.crt
        edit "$1" $signer ca.key new-ca.key
        edit "$1" $trust ca.crt new-ca.crt
}

# --- By rekeyca ---

printf 'ca_window: 0s\nca_lifetime: 3650d\nleaf_lifetime: 20d\nkey_bits: 2048\n' >site.yaml

# with_rekeyca NAMESPACE REASON
with_rekeyca() {
        local place=(--config site.yaml --signer "secret:$1/$signer[ca.key,ca.crt]" --trust "secret:$1/$trust[ca.crt]"
                --state "secret:$1/rotation")

        "$rekeyca" plan --reason "$2" "${place[@]}" && "$rekeyca" apply --until signing "${place[@]}" || return
        value "$1" $trust ca.crt >"merged-$1.pem"
        "$rekeyca" apply --until retired "${place[@]}"
}

# --- What differs: one word each ---

field() {
        openssl x509 -in "$1" -noout "${@:2}"
}
name_type() {
        openssl asn1parse -in "$1" | grep -A1 commonName | tail -n 1 | awk '{ print $5, $6 }'
}

# differ WORD A B
differ() {
        [ "$2" = "$3" ] || echo "$1"
}

compare_certificates() {
        differ name "$(field "$1" -subject -issuer)" "$(field "$2" -subject -issuer)"
        differ name-encoding "$(name_type "$1")" "$(name_type "$2")"
        differ key-identifier "$(field "$1" -ext subjectKeyIdentifier)" "$(field "$2" -ext subjectKeyIdentifier)"
        differ key-usage "$(field "$1" -ext keyUsage)" "$(field "$2" -ext keyUsage)"
        differ basic-constraints "$(field "$1" -ext basicConstraints)" "$(field "$2" -ext basicConstraints)"
        differ serial "$(field "$1" -serial)" "$(field "$2" -serial)"
        differ begin "$(field "$1" -startdate)" "$(field "$2" -startdate)"
        differ signature "$(openssl x509 -in "$1" -noout -text | grep -m1 Signature)" \
                "$(openssl x509 -in "$2" -noout -text | grep -m1 Signature)"
}

# How many certificates a program loads that reads to the first that it cannot.
loads() {
        openssl storeutl -noout -certs "$1" | sed -n 's/^Total found: //p'
}

# take NAMESPACE: into files .key, .crt, .pem, .state; .rest is the Secrets without these values and without what a server
# has of its own, .last which of them was written last, .objects what there is.
take() {
        kubectl -n "$1" get secret,lease -o json | python3 -c 'import base64, json, sys
name, signer, trust = sys.argv[1:]
items = json.load(sys.stdin)["items"]
def write(end, data):
    open(name + end, "wb").write(data)
write(".objects", "\n".join(item["kind"] + "/" + item["metadata"]["name"] for item in items).encode())
secrets = {item["metadata"]["name"]: item for item in items if item["kind"] == "Secret"}
both = secrets[signer], secrets[trust]
write(".last", max(both, key=lambda item: int(item["metadata"]["resourceVersion"]))["metadata"]["name"].encode())
for secret, key, end in (signer, "ca.key", ".key"), (signer, "ca.crt", ".crt"), (trust, "ca.crt", ".pem"):
    write(end, base64.b64decode(secrets[secret]["data"].pop(key)))
write(".state", base64.b64decode(secrets.get("rotation", {}).get("data", {}).get("rotation.json", "")))
for item in both:
    for field in "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields":
        item["metadata"].pop(field, None)
write(".rest", json.dumps(both, sort_keys=True).encode())' "$1" $signer $trust
}

# compare NAMESPACE NAMESPACE: the words, one a line, for the tutorial's and for rekeyca's.
compare() {
        take "$1"
        take "$2"
        if cmp -s first.key "$1.key"; then differ key "$(<"$1.key")" "$(<"$2.key")"; else echo new-key; fi
        compare_certificates "$1.crt" "$2.crt"
        grep -qF "$(sed -n 2p "$1.crt")" "$1.pem" && grep -qF "$(sed -n 2p "$2.crt")" "$2.pem" || echo no-new-ca
        grep -qF "$(sed -n 2p first.crt)" "$1.pem" "$2.pem" && echo old-ca
        differ other-cas "$(grep -cF "$(sed -n 2p other.crt)" "$1.pem")" "$(grep -cF "$(sed -n 2p other.crt)" "$2.pem")"
        [ ! -e "merged-$1.pem" ] || differ merged-bundle "$(loads "merged-$1.pem")" "$(loads "merged-$2.pem")"
        differ rest "$(<"$1.rest")" "$(<"$2.rest")"
        differ order "$(<"$1.last")" "$(<"$2.last")"
        differ objects "$(<"$1.objects")" "$(<"$2.objects")"
}

# Each word, and why rekeyca does it in another way.
declare -A why=(
        [name-encoding]="openssl req encodes the name that is typed in anew; verifiers compare bytes"
        [key-identifier]="openssl req computes another one; leaves in use name that of the old certificate"
        [key-usage]="openssl req has none; rekeyca keeps that of the old certificate"
        [serial]="random in both"
        [begin]="rekeyca back-dates it by the skew of clocks"
        [new-key]="each generates one of its own"
        [other-cas]="the bundle is replaced as a whole by hand; rekeyca keeps the CAs of others"
        [merged-bundle]="cat glues two certificates together where the first has no newline at its end; rekeyca parses them"
        [order]="the tutorial writes the signer first; with rekeyca trust comes before signing"
        [objects]="rekeyca has its state and its lock in the cluster; no key is left in them"
)
always="name-encoding key-identifier key-usage serial begin other-cas objects"
declare -A expected=(
        [expiring]="$always merged-bundle"
        [certificate-compromised]="$always order"
        [key-compromised]="$always order new-key"
)

explain() {
        local word

        for word in $2; do
                echo "# tutorial, $1: $word differs: ${why[$word]:-without a reason}"
        done
}

sorted() {
        tr ' ' '\n' <<<"$1" | sort | xargs
}

no_key_in() {
        [ -s "$1" ] && ! grep -q "PRIVATE KEY" "$1"
}

verifies() {
        openssl verify -purpose sslclient -CAfile "$1.pem" leaf.crt
}

make_ca
for reason in expiring certificate-compromised key-compromised; do
        hand=hand-$reason-$$ program=program-$reason-$$
        make_secrets "$hand" >/dev/null && make_secrets "$program" >/dev/null
        "hand_$reason" "$hand" >/dev/null
        check "$reason: rekeyca does it" with_rekeyca "$program" $reason
        words=$(compare "$hand" "$program" | xargs)
        explain $reason "$words"
        check "$reason: what differs is explained, and nothing else differs" same "$(sorted "$words")" \
                "$(sorted "${expected[$reason]}")"
        check "$reason: a leaf in use is rejected after the tutorial" not verifies "$hand"
        if [ $reason = key-compromised ]; then
                check "$reason: and after rekeyca, as it must be" not verifies "$program"
        else
                check "$reason: and accepted after rekeyca" verifies "$program"
        fi
        check "$reason: no key is left in the state" no_key_in "$program.state"
        kubectl delete namespace "$hand" "$program" --wait=false >/dev/null
done
tap_end
