# The machine is rebooted while the Connector has the request for a new certificate.

inside curl -sS -f -X POST http://127.0.0.1:8081/faults -d '{"fault": "hold", "at": "sign"}' >/dev/null
before=$(fingerprint invoices)
orders=$(fingerprint)
configure 4096 3072
mark
inside systemctl reload rekeyd
check "a renewal is under way" await "$(connector_says held)"
mark
milestone "the machine reboots in the middle of it" reboot
check "rekeyd is up again, or comes up" await "$(message_of READY)"
check "and renews" await "$(message_of RENEWED)"
check "what was under way" same "$(field REKEYD_CERTIFICATE)" invoices
check "the certificate is a new one" not same "$(fingerprint invoices)" "$before"
check "its dependent is told" await "$(of NOTIFIED plain.service)"
check "the other certificate is as it was" same "$(fingerprint)" "$orders"
check "and what nginx, which is ordered after rekeyd, presents" same "$(presented)" "$orders"
check "the order of units has no cycle" same "$(since '._PID == "1" and (.MESSAGE | tostring | test("cycle"))')" 0
check "nothing is left failed" same "$(inside systemctl is-system-running --wait)" running
