# What the journal holds at the end, and what removal and purge leave.

unexplained() {
        inside journalctl -o json --no-pager -u rekeyd _COMM=rekeyd | jq -r '.MESSAGE_ID // empty' | sort -u |
                while read -r id; do
                        inside journalctl --dump-catalog "$id" 2>/dev/null | grep -q '^Subject: ' || echo "$id"
                done
}
seen=$(inside journalctl -o json --no-pager _COMM=rekeyd | jq -r '.MESSAGE_ID // empty' | sort -u | wc -l)
echo "# different messages of rekeyd in this journal: $seen"
check "the journal has messages of many kinds" jq -en "$seen >= 10"
check "each is explained by journalctl -x" nothing unexplained
missing_in_catalog() {
        local id
        for id in $(grep -o '"[0-9a-f]\{32\}"' "$messages" | tr -d '"'); do
                inside journalctl --list-catalog "$id" >/dev/null 2>&1 || echo "$id"
        done
}
check "the installed catalog has every message" nothing missing_in_catalog
inside journalctl -o export --no-pager _COMM=rekeyd >"$layer/journal"
printf '%s\n' 'PRIVATE KEY' 'a passphrase' >"$layer/secrets"
grep -o '[^[:space:]]\{16,\}' "$layer/tokens" >>"$layer/secrets"
check "there are secrets to look for" same "$(wc -l <"$layer/secrets")" 4
check "no key, no passphrase and no token is in the journal" not grep -a -F -f "$layer/secrets" "$layer/journal"

before=$(fingerprint)
inside dpkg -r rekeyd >"$layer/dpkg.log" 2>&1
check "removal" same $? 0
check "says that certificates stay" grep -q 'keys and certificates stay' "$layer/dpkg.log"
check "the service is gone" same "$(inside systemctl is-active rekeyd)" inactive
check "certificates are not" same "$(fingerprint)" "$before"
inside dpkg -P rekeyd devconnector >"$layer/dpkg.log" 2>&1
check "purge" same $? 0
check "says that certificates stay, and how to delete them" grep -q 'rm -r /var/lib/rekeyd' "$layer/dpkg.log"
check "its configuration is gone" not inside test -e /etc/rekeyd/rekeyd.yaml
check "keys are not" inside openssl pkey -noout -in /var/lib/rekeyd/certs/orders/tls.key
check "nor the files that it exported" inside test -s /srv/orders/keystore.p12
