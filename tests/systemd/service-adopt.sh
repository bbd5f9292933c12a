# A pair in /root, which the service may not read: handed over by an operator, and imported as credentials. What comes
# here goes again, so that the parts after this one find what they expect.

inside sh -c 'umask 077; cp /var/lib/rekeyd/certs/orders/tls.key /root/ucl-app.key
        cp /var/lib/rekeyd/certs/orders/tls.crt /root/ucl-app.crt'
check "the service itself cannot read it" not inside setpriv --reuid rekeyd --regid rekeyd --clear-groups \
        cat /root/ucl-app.key

mark
check "a certificate is added by one command" \
        inside rekeyctl add billing --connector ucl --directory /var/lib/rekeyd/certs/billing
check "and a pair in /root is adopted by another" \
        inside rekeyctl adopt billing --key /root/ucl-app.key --certificate /root/ucl-app.crt \
        --url https://connector.test:8443/connector/graphql
check "the journal has it" await "$(message_of ADOPTED)"
check "without the key" not inside sh -c "journalctl -u rekeyd -o cat | grep -q 'PRIVATE KEY'"
check "and it is the same" same "$(fingerprint billing)" "$(fingerprint)"
check "it is removed again" inside rekeyctl remove billing
check "with its drop-in" not inside test -e /etc/rekeyd/conf.d/billing.yaml

# The lines of the documented drop-in that are comments there.
inside sed -i 's/^#LoadCredential=/LoadCredential=/' /etc/systemd/system/rekeyd.service.d/credentials.conf
inside mkdir -p /etc/rekeyd/conf.d
write /etc/rekeyd/conf.d/imported.yaml <<'END'
certificates:
  imported:
    connector: ucl
    directory: /var/lib/rekeyd/certs/imported
    import: {key: $CREDENTIALS_DIRECTORY/orders.key, certificate: $CREDENTIALS_DIRECTORY/orders.crt}
END
inside systemctl daemon-reload
mark
milestone "with the pair as credentials it starts" inside systemctl restart rekeyd
check "and imports them" await "$(message_of ADOPTED)"
check "they are the same" same "$(fingerprint imported)" "$(fingerprint)"
inside sed -i 's/^LoadCredential=orders\.\(key\|crt\)/#&/' /etc/systemd/system/rekeyd.service.d/credentials.conf
inside rm -r /etc/rekeyd/conf.d/imported.yaml /root/ucl-app.key /root/ucl-app.crt
inside systemctl daemon-reload
mark
milestone "and it starts without them" inside systemctl restart rekeyd
check "with the certificate that it had" await "$(message_of READY)"
inside rm -r /var/lib/rekeyd/certs/billing /var/lib/rekeyd/certs/imported
