# `owner:`, which takes the drop-in with capabilities, and those only.

inside cat /usr/share/doc/rekeyd/examples/owner.conf | write /etc/systemd/system/rekeyd.service.d/owner.conf
inside systemctl daemon-reload
configure 4096 4096 'owner: orders'
mark
inside systemctl restart rekeyd
check "with the drop-in for owner: it renews a certificate that another user owns" await "$(message_of RENEWED)"
check "whose key belongs to that user" \
        same "$(inside stat -L -c '%U %a' /var/lib/rekeyd/certs/invoices/tls.key)" "orders 600"
check "it has CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER, and no other" same "$(status CapEff)" 000000000000000b
mark
inside systemctl restart rekeyd
check "and reads what belongs to the other user" \
        await "$(message_of CURRENT) and .REKEYD_CERTIFICATE == \"invoices\""
