#!/usr/bin/env bash
# The commands of the tutorial "Rotate the Root CA certificate and key", run by hand upon files, beside what rekeyca does
# with the same files; each difference is explained by what goes wrong with the commands. As TAP.

set -u
rekeyca=$REKEYD_TEST_REKEYCA
. "$(dirname "$0")/../support/tap.sh"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
exec 2>"$work/errors"

# A CA as Go programs make it: PrintableString, and a key identifier of its own kind.
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
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
END

# make_site DIRECTORY: signer, bundle and a leaf.
make_site() {
        mkdir "$1" && cd "$1" || exit 1
        cp ../first/ca.key ../first/ca.crt ../first/leaf.crt . 2>/dev/null && cp ca.crt clients.pem && cd .. && return
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -config ../ca.cnf -extensions ca \
                -set_serial 2
        openssl req -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=client -out leaf.csr
        openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -set_serial 2 -days 20 -extfile ../ca.cnf \
                -extensions leaf -out leaf.crt
        cp ca.crt clients.pem
        cd ..
}

# tutorial DIRECTORY: steps 1 to 8 and 11 to 12 of the first scenario; the bundle of step 8 stays as merged.pem.
tutorial() {
        (
                cd "$1" || exit 1
                openssl req -new -key ca.key -x509 -sha256 -days 3650 -nodes -subj /CN=Kyma -out new-ca.crt
                cp new-ca.crt ca.crt
                cat clients.pem new-ca.crt >merged.pem
                cp new-ca.crt clients.pem
        )
}

# with_rekeyca DIRECTORY REASON: the same by rekeyca.
with_rekeyca() {
        local place=(--signer "files:$work/$1/ca.key,$work/$1/ca.crt" --trust "files:$work/$1/clients.pem"
                --state "$work/$1/state/rotation.json" --config "$work/site.yaml")

        "$rekeyca" plan --reason "$2" "${place[@]}" &&
                "$rekeyca" apply --until signing "${place[@]}" && cp "$1/clients.pem" "$1/merged.pem" &&
                "$rekeyca" apply --until retired "${place[@]}"
}
printf 'ca_window: 0s\nca_lifetime: 3650d\nleaf_lifetime: 20d\nkey_bits: 2048\n' >site.yaml

verifies() {
        openssl verify -purpose sslclient -CAfile "$1/$2" "$1/leaf.crt" >/dev/null
}
field() {
        openssl x509 -in "$1" -noout "${@:2}"
}
same_field() {
        [ "$(field "$1/ca.crt" "${@:3}")" = "$(field "$2/ca.crt" "${@:3}")" ]
}
name_type() {
        openssl asn1parse -in "$1/ca.crt" | grep -A1 commonName | tail -n 1 | awk '{ print $5, $6 }'
}
is_not() {
        ! "$@"
}
count() {
        [ "$(grep -c BEGIN "$1")" -eq "$2" ]
}

make_site first
make_site by-hand
make_site by-rekeyca
check "a leaf of the old CA verifies to it" verifies first clients.pem
tutorial by-hand
check "rekeyca rotates the same CA" with_rekeyca by-rekeyca expiring

check "the key of the signer is the same by hand" cmp -s first/ca.key by-hand/ca.key
check "the key of the signer is the same by rekeyca" cmp -s first/ca.key by-rekeyca/ca.key
check "the name reads the same" same_field by-hand by-rekeyca -subject
check "both have two certificates in the merged bundle" eval 'count by-hand/merged.pem 2 && count by-rekeyca/merged.pem 2'
check "both have one in the end" eval 'count by-hand/clients.pem 1 && count by-rekeyca/clients.pem 1'
check "the merged bundles carry the old leaf" eval 'verifies by-hand merged.pem && verifies by-rekeyca merged.pem'

# Difference 1: the name is encoded anew, and the key identifier is computed anew.
check "rekeyca keeps the encoding of the name" test "$(name_type by-rekeyca)" = "$(name_type first)"
check "openssl req has another encoding" is_not test "$(name_type by-hand)" = "$(name_type first)"
check "rekeyca keeps the key identifier" same_field first by-rekeyca -ext subjectKeyIdentifier
check "openssl req has another key identifier" is_not same_field first by-hand -ext subjectKeyIdentifier
check "rekeyca keeps the key usage" same_field first by-rekeyca -ext keyUsage,basicConstraints
check "openssl req has another key usage" is_not same_field first by-hand -ext keyUsage,basicConstraints
check "so rekeyca's certificate alone carries the old leaf" verifies by-rekeyca clients.pem
check "and that of the tutorial alone does not" is_not verifies by-hand clients.pem

# Difference 2: a bundle without a final newline.
make_site glued-by-hand
make_site glued-by-rekeyca
for site in glued-by-hand glued-by-rekeyca; do
        printf %s "$(cat "$site/clients.pem")" >"$site/short" && mv "$site/short" "$site/clients.pem"
done
tutorial glued-by-hand
with_rekeyca glued-by-rekeyca expiring >/dev/null
check "rekeyca's merged bundle loads" verifies glued-by-rekeyca merged.pem
check "that of cat does not" is_not verifies glued-by-hand merged.pem

# The third scenario: another key.
make_site key-by-rekeyca
check "rekeyca replaces a compromised key" with_rekeyca key-by-rekeyca key-compromised
check "the signer has another key" is_not cmp -s first/ca.key key-by-rekeyca/ca.key
check "it belongs to its certificate" test "$(openssl pkey -in key-by-rekeyca/ca.key -pubout)" = \
        "$(field key-by-rekeyca/ca.crt -pubkey)"
check "the bundle has the new certificate alone" cmp -s key-by-rekeyca/ca.crt key-by-rekeyca/clients.pem
check "and rejects the old leaf" is_not verifies key-by-rekeyca clients.pem
check "no key is left in the state file" is_not grep -q "PRIVATE KEY" key-by-rekeyca/state/rotation.json
tap_end
