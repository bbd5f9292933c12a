# The first start with a certificate to get: no network yet, a token that only the service manager can read, a
# directory elsewhere, and a reader who is not root.

# mint CLIENT: a one-time token, remembered in $layer/tokens.
mint() {
        inside curl -sS -f -X POST 'http://127.0.0.1:8081/tokens?format=text' -d "{\"client\": \"$1\"}" |
                tee -a "$layer/tokens"
}

# A container inside of a container may not mount, and then the service manager passes no credentials on.
inside systemd-run --quiet --wait --unit=probe -p User=rekeyd -p LoadCredential=probe:/etc/hostname \
        test -s /run/credentials/probe.service/probe ||
        tap_stop "systemd in this container cannot pass credentials to a service"

inside useradd --system orders
inside install -d -o rekeyd -g rekeyd /srv/orders
inside install -d -m 0700 /etc/credstore
for unit in devconnector plain stubborn; do
        write "/etc/systemd/system/$unit.service" <"$here/units/$unit.service"
done
mark
inside systemctl daemon-reload
inside systemctl -q enable --now devconnector plain stubborn
milestone "devconnector runs as a unit" await "$(connector_says ready)"
inside cp /var/lib/devconnector/server-ca.crt /etc/rekeyd/connector-ca.crt
inside chmod 0644 /etc/rekeyd/connector-ca.crt
mint orders | write /etc/credstore/orders.token
echo a passphrase | write /etc/credstore/orders.pass
inside chmod 0600 /etc/credstore/orders.token /etc/credstore/orders.pass

# The documented drop-ins, as they are, and what makes a watchdog quick enough for a test.
for example in credentials directories readers; do
        inside cat "/usr/share/doc/rekeyd/examples/$example.conf" |
                write "/etc/systemd/system/rekeyd.service.d/$example.conf"
done
write /etc/systemd/system/rekeyd.service.d/test.conf <<'END'
[Service]
WatchdogSec=4s
RestartSec=1s
END

# configure BITS [BITS [LINE]]: the configuration, with a second certificate if a size for its key is named, and one more
# line for that. A larger key makes rekeyd renew at once.
configure() {
        write /etc/rekeyd/rekeyd.yaml <<END
limits: {issuances_per_hour: 50}
control:
  socket: /run/rekeyd/control.sock
  group: rekeyd
  read_group: adm
connectors:
  ucl:
    enrol_url: https://connector.test:8444/connector/graphql
    trust: /etc/rekeyd/connector-ca.crt
certificates:
  orders:
    connector: ucl
    directory: /var/lib/rekeyd/certs/orders
    token_file: \$CREDENTIALS_DIRECTORY/orders.token
    group: orders
    mode: 0640
    key: {bits: $1}
    exports:
      - path: /srv/orders/keystore.p12
        format: pkcs12
        passphrase_file: \$CREDENTIALS_DIRECTORY/orders.pass
        group: orders
        mode: 0640
    notify:
      - unit: nginx.service
      - unit: plain.service
      - unit: stubborn.service
END
        [ $# -eq 1 ] && return
        inside tee -a /etc/rekeyd/rekeyd.yaml >/dev/null <<END
  invoices:
    connector: ucl
    directory: /var/lib/rekeyd/certs/invoices
    token_file: /etc/rekeyd/tokens/invoices
    key: {bits: $2}
    ${3:-}
    notify:
      - unit: plain.service
END
}

# fingerprint [CERTIFICATE]
fingerprint() {
        inside openssl x509 -in "/var/lib/rekeyd/certs/${1:-orders}/tls.crt" -noout -fingerprint -sha256 |
                sed 's/.*=//; s/://g' | tr 'A-F' 'a-f'
}

configure 2048
inside systemctl daemon-reload
check "the documented drop-ins are as clean as the unit" verify
inside ip link set lo down
mark
milestone "it starts without a network" inside systemctl restart rekeyd
check "and says that it is ready" await "$(message_of READY)"
check "a Connector whose name is not known is a failure that may pass" await "$(message_of FAILED_TRANSIENT)"
check "which names the certificate" same "$(field REKEYD_CERTIFICATE)" orders
check "and its class" same "$(field REKEYD_FAILURE)" transient
check "and the cause" matches "$(field REKEYD_ERROR)" connector.test
check "and is not an error yet" same "$(field PRIORITY)" 5
check "systemctl status says so in one line" becomes rekeyd StatusText '^0 of 1 certificate'

inside sh -c 'echo 127.0.0.1 connector.test >>/etc/hosts'
inside ip link set lo up
milestone "when the network comes it enrols by itself, with the token from LoadCredential=" \
        await "$(message_of ENROLLED)"
check "the entry has the fingerprint of what is on disk" same "$(field REKEYD_FINGERPRINT)" "$(fingerprint)"
check "and its generation" matches "$(field REKEYD_GENERATION)" '^[0-9]+$'
check "the export outside the state directory is written" await "$(message_of EXPORTED)"
check "and readable with the passphrase from LoadCredential=" \
        inside openssl pkcs12 -in /srv/orders/keystore.p12 -passin file:/etc/credstore/orders.pass -nokeys
check "a reader in the group can read the key" \
        inside setpriv --reuid orders --regid orders --clear-groups cat /var/lib/rekeyd/certs/orders/tls.key
check "others cannot" not \
        inside setpriv --reuid nobody --regid nogroup --clear-groups cat /var/lib/rekeyd/certs/orders/tls.key
